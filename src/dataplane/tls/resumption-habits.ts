/**
 * Learns where nobody ever resumes. A ticket costs a fifth of a handshake, for nothing where it is thrown away; so an address from
 * which many shook hands in full, with never a ticket to offer, gets none that is worth anything. Behind one address there may be
 * several callers: one that ever offered a ticket has all of them given tickets.
 */
export class ResumptionHabits {
  /** Full handshakes by the address of the caller, least recent first; RESUMES once a ticket was offered. */
  readonly #fullHandshakes = new Map<string, number>();

  /** Notes what a ClientHello from there offers; true if its connection had better get tickets. */
  wantsTickets(address: string, offersTicket: boolean): boolean {
    const before = this.#fullHandshakes.get(address) ?? 0;
    this.#fullHandshakes.delete(address);
    this.#fullHandshakes.set(address, offersTicket ? RESUMES : before + 1);
    if (this.#fullHandshakes.size > MAXIMUM_ADDRESSES) this.#fullHandshakes.delete(this.#fullHandshakes.keys().next().value!);
    return offersTicket || before < PATIENCE;
  }
}

const RESUMES = Number.NEGATIVE_INFINITY;
/** Far more than a caller of ours, or a prober with all its drills, shakes hands before it offers its first ticket. */
const PATIENCE = 64;
/** Some 100 octets each; who is forgotten is only given tickets again. */
const MAXIMUM_ADDRESSES = 10_000;
