import type { Queries } from '../../platform/db/database.ts';
import { countRevokedSet } from './fleet-list-store.ts';
import type { RevokedCertificate } from './revocation-store.ts';
import { readRevokedSet, readRevokedSince, type RevokedSet } from './revoked-set.ts';

/**
 * The revoked set for who needs all of it at each change: of a hundred thousand only what came is read again, and what did not change is the same object as
 * before. It is never less than what is committed; what expired is gone from it with the next reading of the whole.
 */
export class RevokedSetReader {
  readonly #queries: Queries;
  #turns: Promise<unknown> = Promise.resolve();
  #held: RevokedSet | null = null;

  constructor(queries: Queries) {
    this.#queries = queries;
  }

  read(): Promise<RevokedSet> {
    // One after another, so that an older reading never takes the place of a newer one.
    const turn = this.#turns.then(() => this.#read());
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  async #read(): Promise<RevokedSet> {
    const held = this.#held;
    if (held === null) return (this.#held = await readRevokedSet(this.#queries));
    const since = await readRevokedSince(this.#queries, held.sequence);
    if (since === null) return held;
    const next = merged(held, since);
    // Counted after what came was read: what comes meanwhile makes it more, and only what went makes it less.
    const hasLess = (await countRevokedSet(this.#queries)) < next.certificates.length;
    return (this.#held = hasLess ? await readRevokedSet(this.#queries) : next);
  }
}

/** In the order of a reading of the whole, so that the same set gives the same octets on each server. What came between the number and the rows of a reading is told twice. */
function merged(held: RevokedSet, since: RevokedSet): RevokedSet {
  if (since.certificates.length === 0) return { ...since, certificates: held.certificates };
  const came = since.certificates.toSorted(byEnd);
  const certificates: RevokedCertificate[] = [];
  let next = 0;
  for (const one of held.certificates) {
    while (next < came.length && byEnd(came[next]!, one) < 0) certificates.push(came[next++]!);
    if (next < came.length && byEnd(came[next]!, one) === 0) next++;
    certificates.push(one);
  }
  return { ...since, certificates: [...certificates, ...came.slice(next)] };
}

/** As `listRevokedSet` orders them. */
function byEnd(a: RevokedCertificate, b: RevokedCertificate): number {
  if (a.notAfter !== b.notAfter) return a.notAfter - b.notAfter;
  return Buffer.compare(a.serial, b.serial) || (a.issuerKeySha256 < b.issuerKeySha256 ? -1 : Number(a.issuerKeySha256 > b.issuerKeySha256));
}
