/**
 * Learns which callers never resume. A ticket costs a fifth of a handshake, for nothing where it is thrown away; so whoever shook hands
 * in full so many times in a row, with never a ticket to offer, gets none that is worth anything, until it offers one.
 */
export class ResumptionHabits {
  /** By the address of the caller, least recent first. */
  readonly #fullInARow = new Map<string, number>();

  /** Notes what a ClientHello from there offers; true if its connection had better get tickets. */
  wantsTickets(address: string, offersTicket: boolean): boolean {
    const before = this.#fullInARow.get(address) ?? 0;
    this.#fullInARow.delete(address);
    if (offersTicket) return true;
    this.#fullInARow.set(address, before + 1);
    if (this.#fullInARow.size > MAXIMUM_ADDRESSES) this.#fullInARow.delete(this.#fullInARow.keys().next().value!);
    return before < PATIENCE;
  }
}

/** Behind one address there may be several callers, of whom some resume. */
const PATIENCE = 16;
/** Some 100 octets each; who is forgotten is only given tickets again. */
const MAXIMUM_ADDRESSES = 10_000;
