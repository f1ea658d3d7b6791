import type { Instant } from '../../core/time/instant.ts';

/**
 * The entries of each list that the lint of this process found clean last, so that a rebuilt list is looked at from there on. Entries are never forgotten
 * one by one: a list that no longer begins with them is looked at whole.
 */
export class VettedEntries {
  readonly #held = new Map<string, { readonly entries: Uint8Array; readonly thisUpdate: Instant }>();
  #octets = 0;

  /** Null if there are none that a list of `thisUpdate` may begin with. */
  find(list: string, thisUpdate: Instant): Uint8Array | null {
    const held = this.#held.get(list);
    return held === undefined || held.thisUpdate > thisUpdate ? null : held.entries;
  }

  keep(list: string, entries: Uint8Array, thisUpdate: Instant): void {
    this.#drop(list);
    this.#held.set(list, { entries, thisUpdate });
    this.#octets += entries.length;
    // The list that was built longest ago stands first.
    while (this.#octets > MAXIMUM_OCTETS) this.#drop(this.#held.keys().next().value!);
  }

  #drop(list: string): void {
    this.#octets -= this.#held.get(list)?.entries.length ?? 0;
    this.#held.delete(list);
  }
}

/** Of some four hundred thousand revoked. */
const MAXIMUM_OCTETS = 16 * 2 ** 20;
