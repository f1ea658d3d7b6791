import type { Instant } from '../../core/time/instant.ts';
import { Problem } from '../../core/problems/problem.ts';
import {
  countListEntries,
  type EncodedEntries,
  encodedEntriesOf,
  mergeListEntries,
  serialsAmong,
} from '../../core/x509/merge-list-entries.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import { readSequence } from './authority-store.ts';
import { FleetListMaker, type NextFleetList } from './fleet-list-maker.ts';
import {
  countRevokedSet,
  type FleetListRecord,
  listFleetListNumbers,
  listFleetLists,
  type ListedSerial,
  listRevokedByAuthority,
} from './fleet-list-store.ts';

/**
 * The revoked set as complete lists of certificates, one an authority, for data planes that know no other form of it (Envoy). They are in no certificate's
 * distribution point: not sharded, so that one list answers for every certificate, and good until the authority's end, because one that
 * ran out while the control plane is away would have every handshake refused. They say no reasons, which nobody who has them asks for.
 *
 * Each is made from the one before and what was revoked since. What expired stays for a while, which harms nobody, until it is an eighth of the whole.
 */
export class FleetLists {
  readonly #deps: { readonly database: AuditedDatabase; readonly authorities: Authorities };
  readonly #maker: FleetListMaker;
  #turns: Promise<unknown> = Promise.resolve();
  #held: Held | null = null;

  constructor(deps: { readonly database: AuditedDatabase; readonly authorities: Authorities }) {
    this.#deps = deps;
    this.#maker = new FleetListMaker(deps.database);
  }

  /** DER by the issuer's key (SHA-256 of SubjectPublicKeyInfo, lower case hex). Made anew, signed and logged where the set has certificates that it lacks. */
  read(now: Instant): Promise<ReadonlyMap<string, Uint8Array>> {
    // One after another: two readers of one change would make two lists of it.
    const turn = this.#turns.then(() => this.#read(now));
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  async #read(now: Instant): Promise<ReadonlyMap<string, Uint8Array>> {
    // Read first: what is revoked meanwhile is on the list early and looked at again, never missed.
    const sequence = await readSequence(this.#deps.database.queries, 'revoked-set');
    if (this.#held?.sequence === sequence) return this.#held.lists;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const made = (this.#held === null ? null : await this.#addTo(this.#held, now)) ?? (await this.#makeWhole(now));
      // Another server's came first; whether it has all that this one knows is looked at anew.
      if (made === 'overtaken') continue;
      // The same lists are the same object, by which it is seen that there is nothing to do for a suspension.
      const before = this.#held?.made;
      const isSame = before !== undefined && made.size === before.size && [...made].every(([id, { der }]) => before.get(id)?.der === der);
      const lists = isSame ? this.#held!.lists : this.#byKey(made);
      this.#held = { sequence, made, lists };
      return lists;
    }
    throw new Problem('state-conflict', 'Cannot make lists of revoked certificates: others were made meanwhile');
  }

  /** Null: much of what is held expired, or an authority is new. */
  async #addTo(held: Held, now: Instant): Promise<Made | 'overtaken' | null> {
    const { database, authorities } = this.#deps;
    const numbers = await listFleetListNumbers(database.queries);
    const stored = authorities.issuing.some(({ id }) => numbers.get(id) !== held.made.get(id)?.number)
      ? byAuthority(await listFleetLists(database.queries))
      : held.made;
    const came = await listRevokedByAuthority(database.queries, held.sequence);
    const total = await countRevokedSet(database.queries);
    const next = new Map<string, FleetListRecord>();
    let listed = 0;
    for (const authority of authorities.issuing) {
      const before = stored.get(authority.id);
      if (before === undefined) return null;
      const record = await this.#with(authority, { before, came: came.get(authority.id) ?? [] }, now);
      if (record === null) return 'overtaken';
      listed += countListEntries(encodedEntriesOf(record.der));
      next.set(authority.id, record);
    }
    return listed - total > total / STALE_SHARE ? null : next;
  }

  async #with(
    authority: IssuingAuthority,
    { before, came }: { readonly before: FleetListRecord; readonly came: readonly ListedSerial[] },
    now: Instant,
  ): Promise<FleetListRecord | null> {
    const entries = encodedEntriesOf(before.der);
    const missing = came.length === 0 ? [] : lackedBy(entries, came);
    if (missing.length === 0) return before;
    return this.#maker.make(authority, {
      before,
      now,
      entriesAt: (at) => mergeListEntries(entries, { leaving: [], coming: missing.map(at) }),
    });
  }

  /** From what is stored, where it has all of the set and not much beside it. */
  async #makeWhole(now: Instant): Promise<Made | 'overtaken'> {
    const { database, authorities } = this.#deps;
    const stored = byAuthority(await listFleetLists(database.queries));
    const revoked = await listRevokedByAuthority(database.queries, null);
    const next = new Map<string, FleetListRecord>();
    for (const authority of authorities.issuing) {
      const before = stored.get(authority.id) ?? null;
      const all = revoked.get(authority.id) ?? [];
      const isGood = before !== null && lackedBy(encodedEntriesOf(before.der), all).length === 0 && !isStale(before, all.length);
      const sorted = isGood ? [] : all.toSorted((a, b) => Buffer.compare(a.serial, b.serial));
      const entriesAt: NextFleetList['entriesAt'] = (at): EncodedEntries =>
        mergeListEntries(new Uint8Array(0), { leaving: [], coming: sorted.map(at) });
      const record = isGood ? before : await this.#maker.make(authority, { before, now, entriesAt });
      if (record === null) return 'overtaken';
      next.set(authority.id, record);
    }
    return next;
  }

  #byKey(made: Made): ReadonlyMap<string, Uint8Array> {
    return new Map(this.#deps.authorities.issuing.map(({ id, keySha256 }) => [keySha256, made.get(id)!.der]));
  }
}

type Made = ReadonlyMap<string, FleetListRecord>;
type Held = { readonly sequence: number; readonly made: Made; readonly lists: ReadonlyMap<string, Uint8Array> };

function byAuthority(records: readonly FleetListRecord[]): Made {
  return new Map(records.map((record) => [record.authorityId, record]));
}

function lackedBy(entries: EncodedEntries, wanted: readonly ListedSerial[]): readonly ListedSerial[] {
  const held = serialsAmong(
    entries,
    wanted.map(({ serial }) => serial),
  );
  return wanted.filter((_, index) => !held[index]);
}

function isStale(record: FleetListRecord, total: number): boolean {
  return countListEntries(encodedEntriesOf(record.der)) - total > total / STALE_SHARE;
}

const ATTEMPTS = 3;
const STALE_SHARE = 8;
