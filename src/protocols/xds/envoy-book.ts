import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import { CLUSTER_TYPE } from '../../core/messages/type-urls.ts';
import { contentOf } from './encoded-resource.ts';
import type { EnvoySnapshot, ResourceFault, WithheldResource } from './envoy-snapshots.ts';
import { furthest, isBehind, NO_STAMP, type Stamp, stampOf } from './stamp.ts';

/** A resource that an Envoy has in an older form, or not at all. */
export type EnvoyRefusal = ResourceFault & {
  readonly version: string;
  /** Who found it: the Envoy that it was sent to, or we before it was sent. */
  readonly by: 'envoy' | 'countersign';
  readonly at: Instant;
};

export type EnvoyStatus = {
  /** It has a stream here. */
  readonly connected: boolean;
  /** `state-older`: it has what we sent before our state was put back; nothing is sent to it. */
  readonly state: 'current' | 'state-older';
  readonly refused: readonly EnvoyRefusal[];
};

/** What Envoys refused, wherever: one that comes back to another server is sent none of it there either. */
export type RefusalMemory = {
  recall(proxyId: EntityId<'proxy'>): Promise<readonly Omit<EnvoyRefusal, 'by'>[]>;
  /** It was started anew. */
  forget(proxyId: EntityId<'proxy'>): Promise<void>;
};

/** What this process knows of Envoys beyond one stream: who is there, what they refused, how far they are. */
export class EnvoyBook {
  readonly #pages = new Map<EntityId<'proxy'>, Page>();
  readonly #now: () => Instant;
  readonly #memory: RefusalMemory;

  constructor(now: () => Instant, memory: RefusalMemory) {
    this.#now = now;
    this.#memory = memory;
  }

  attend(proxyId: EntityId<'proxy'>): Disposable {
    const page = this.#pageOf(proxyId);
    page.streams += 1;
    return { [Symbol.dispose]: () => void (page.streams -= 1) };
  }

  get connected(): number {
    return [...this.#pages.values()].filter(({ streams }) => streams > 0).length;
  }

  get refusals(): number {
    return [...this.#pages.values()].reduce((sum, page) => sum + presentRefusals(page).length, 0);
  }

  /**
   * A stream of an Envoy begins to ask for a type and says what it has of it. One that asks for clusters and has none was started a moment ago: whatever
   * was refused may go to it once more. Gives the contents by name that are not to be sent.
   */
  async begin(proxyId: EntityId<'proxy'>, typeUrl: string, claimed: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, string>> {
    const page = this.#pageOf(proxyId);
    const isFresh = typeUrl === CLUSTER_TYPE && claimed.size === 0;
    if (isFresh) page.claimed = NO_STAMP;
    for (const version of claimed.values()) page.claimed = furthest(page.claimed, stampOf(version) ?? NO_STAMP);
    // Each stream asks for clusters: since its last one here, the Envoy may have been elsewhere.
    if (typeUrl === CLUSTER_TYPE || page.recalled === null) page.recalled = this.#recall(proxyId, page, isFresh);
    try {
      await page.recalled;
    } catch (error) {
      page.recalled = null;
      throw error;
    }
    const refused = [...page.refused.values()].filter((refusal) => refusal.typeUrl === typeUrl && refusal.by === 'envoy');
    return new Map(refused.map(({ name, version }) => [name, contentOf(version)]));
  }

  async #recall(proxyId: EntityId<'proxy'>, page: Page, isFresh: boolean): Promise<void> {
    const recalled = await this.#memory.recall(proxyId);
    for (const [key, { by }] of page.refused) if (by === 'envoy') page.refused.delete(key);
    if (isFresh && recalled.length > 0) return this.#memory.forget(proxyId);
    for (const refusal of recalled) page.refused.set(keyOf(refusal), { ...refusal, by: 'envoy' });
  }

  /** True if the Envoy has what came after this state. `changed` tells that it was otherwise at the last asking. */
  judge(proxyId: EntityId<'proxy'>, stamp: Stamp): { readonly isOlder: boolean; readonly changed: boolean; readonly claimed: Stamp } {
    const page = this.#pageOf(proxyId);
    const isOlder = isBehind(stamp, page.claimed);
    const changed = isOlder !== page.isOlder;
    page.isOlder = isOlder;
    return { isOlder, changed, claimed: page.claimed };
  }

  /** Notes that nothing can be made for this Envoy, or that it can again; true if that is new. */
  noteIdle(proxyId: EntityId<'proxy'>, isIdle: boolean): boolean {
    const page = this.#pageOf(proxyId);
    const changed = page.isIdle !== isIdle;
    page.isIdle = isIdle;
    return changed;
  }

  /** Notes a refusal; false if it is known already. */
  refuse(proxyId: EntityId<'proxy'>, refusal: Omit<EnvoyRefusal, 'at'>): boolean {
    const page = this.#pageOf(proxyId);
    const key = keyOf(refusal);
    const held = page.refused.get(key);
    const isKnown = held !== undefined && contentOf(held.version) === contentOf(refusal.version) && held.reason === refusal.reason;
    if (isKnown) return false;
    const [oldest] = page.refused.keys();
    if (page.refused.size >= MAXIMUM_REFUSALS) page.refused.delete(oldest!);
    page.refused.set(key, { ...refusal, reason: refusal.reason.slice(0, MAXIMUM_REASON), at: this.#now() });
    return true;
  }

  /** Notes that it has this one; true if it had refused what stood under the name. */
  accept(proxyId: EntityId<'proxy'>, accepted: Pick<ResourceFault, 'typeUrl' | 'name'>): boolean {
    const refused = this.#pages.get(proxyId)?.refused;
    const held = refused?.get(keyOf(accepted));
    refused?.delete(keyOf(accepted));
    return held?.by === 'envoy';
  }

  /** Notes what the Envoy is to have now, and what of it is withheld. Gives what of that is new. */
  put(proxyId: EntityId<'proxy'>, snapshot: EnvoySnapshot, faults: readonly WithheldResource[]): readonly Omit<EnvoyRefusal, 'at'>[] {
    const page = this.#pageOf(proxyId);
    page.snapshot = snapshot;
    const now = new Set(faults.map(keyOf));
    for (const [key, { by }] of page.refused) if (by === 'countersign' && !now.has(key)) page.refused.delete(key);
    return faults.map((fault) => ({ ...fault, by: 'countersign' as const })).filter((refusal) => this.refuse(proxyId, refusal));
  }

  /** Null if nothing is known of an Envoy of this proxy. */
  statusOf(proxyId: EntityId<'proxy'>): EnvoyStatus | null {
    const page = this.#pages.get(proxyId);
    if (page === undefined) return null;
    return { connected: page.streams > 0, state: page.isOlder ? 'state-older' : 'current', refused: presentRefusals(page) };
  }

  #pageOf(proxyId: EntityId<'proxy'>): Page {
    const page = this.#pages.get(proxyId) ?? {
      streams: 0,
      claimed: NO_STAMP,
      isOlder: false,
      isIdle: false,
      snapshot: null,
      recalled: null,
      refused: new Map(),
    };
    this.#pages.set(proxyId, page);
    return page;
  }
}

/** As many as proxies that were declared and came, since only those have a certificate. */
type Page = {
  streams: number;
  /** The furthest state that it ever said to have something of. */
  claimed: Stamp;
  isOlder: boolean;
  /** Its proxy is not declared to be one, or nothing could be made of its settings yet. */
  isIdle: boolean;
  snapshot: EnvoySnapshot | null;
  /** What other servers know of its refusals was read. */
  recalled: Promise<void> | null;
  /** Also of contents that are past: they may come again. */
  readonly refused: Map<string, EnvoyRefusal>;
};

/** A refusal of what is not to be had any more is nothing that anybody waits for. */
function presentRefusals({ refused, snapshot }: Page): readonly EnvoyRefusal[] {
  return [...refused.values()].filter(({ typeUrl, name, version }) => {
    const present = snapshot?.resources.get(typeUrl)?.get(name);
    return present !== undefined && contentOf(present.version) === contentOf(version);
  });
}

function keyOf({ typeUrl, name }: Pick<ResourceFault, 'typeUrl' | 'name'>): string {
  return `${typeUrl} ${name}`;
}

const MAXIMUM_REASON = 500;
/** Of one Envoy; the oldest goes. */
const MAXIMUM_REFUSALS = 1_000;
