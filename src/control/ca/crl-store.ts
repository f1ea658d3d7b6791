import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CertificateRow } from './certificate-store.ts';
import type { RevocationReason } from './revocation-reason.ts';

/** One entry of a CRL. */
export type ListedRevocation = { readonly serial: Uint8Array; readonly revokedAt: Instant; readonly reason: RevocationReason };

/** The complete list that deltas build on (RFC 5280 section 5.2.4). */
export type CrlBase = { readonly number: number; readonly covered: number; readonly thisUpdate: Instant };

/** How far a list has come: `revision` counts the changes of what it must hold, `covered` is the count that it was built at. */
export type CrlState = {
  readonly authorityId: EntityId<'authority'>;
  readonly shard: number;
  readonly revision: number;
  readonly covered: number;
  readonly number: number;
  readonly thisUpdate: Instant | null;
};

/** A list as it was last built, and how far the truth has gone on since. */
export type CrlRecord = CrlState & {
  readonly base: CrlBase | null;
  readonly built: {
    readonly thisUpdate: Instant;
    readonly nextUpdate: Instant;
    readonly der: Uint8Array;
    readonly delta: Uint8Array | null;
  } | null;
};

type Shard = Pick<CrlState, 'authorityId' | 'shard'>;

/** The lists of a new authority, none of them built. */
export async function insertCrls(queries: Queries, authorityId: EntityId<'authority'>, shards: number): Promise<void> {
  const empty = { revision: 1, covered: 0, number: 0, this_update: null, next_update: null, der: null };
  const noBase = { base_number: null, base_covered: null, base_this_update: null, delta: null };
  for (let start = 0; start < shards; start += ROWS_A_STATEMENT) {
    const count = Math.min(ROWS_A_STATEMENT, shards - start);
    const rows = Array.from({ length: count }, (_, at) => ({ authority_id: authorityId, shard: start + at, ...empty, ...noBase }));
    await tables(queries).insertInto('crls').values(rows).execute();
  }
}

/** Says that the list of this shard must be built again. Returns its new revision; the row is locked until the commit. @throws internal if there is no such list */
export async function touchCrl(queries: Queries, authorityId: EntityId<'authority'>, shard: number): Promise<number> {
  const row = await tables(queries)
    .updateTable('crls')
    .set((set) => ({ revision: set('revision', '+', 1) }))
    .where('authority_id', '=', authorityId)
    .where('shard', '=', shard)
    .returning('revision')
    .executeTakeFirst();
  if (row === undefined) throw new Problem('internal', `Cannot list revocation: authority ${authorityId} has no shard ${shard}`);
  return row.revision;
}

/** What was put on the list, or changed on it, after its revision `after`. */
export async function listCrlChanges(queries: Queries, { authorityId, shard }: Shard, after: number): Promise<ListedRevocation[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .select(['serial', 'revoked_at', 'revocation_reason'])
    .where('issuer_id', '=', authorityId)
    .where('crl_shard', '=', shard)
    .where('on_crl', '=', sql.lit(1))
    .where('crl_revision', '>', after)
    .orderBy('crl_revision')
    .execute();
  return rows.map((row) => ({ serial: row.serial, revokedAt: row.revoked_at!, reason: row.revocation_reason as RevocationReason }));
}

/** The serials on the list that expired before `before` and were on it by its revision `covered`. */
export async function listLeavingCrl(
  queries: Queries,
  { authorityId, shard }: Shard,
  { before, covered }: { readonly before: Instant; readonly covered: number },
): Promise<Uint8Array[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .select('serial')
    .where('issuer_id', '=', authorityId)
    .where('crl_shard', '=', shard)
    .where('on_crl', '=', sql.lit(1))
    .where('not_after', '<', before)
    .where('crl_revision', '<=', covered)
    .execute();
  return rows.map(({ serial }) => serial);
}

/** Takes off the list what `listLeavingCrl` names. */
export async function dropFromCrl(
  queries: Queries,
  { authorityId, shard }: Shard,
  { before, covered }: { readonly before: Instant; readonly covered: number },
): Promise<void> {
  await tables(queries)
    .updateTable('certificates')
    .set({ on_crl: 0 })
    .where('issuer_id', '=', authorityId)
    .where('crl_shard', '=', shard)
    .where('on_crl', '=', sql.lit(1))
    .where('not_after', '<', before)
    .where('crl_revision', '<=', covered)
    .execute();
}

export async function findCrl(queries: Queries, authorityId: EntityId<'authority'>, shard: number): Promise<CrlRecord | null> {
  const row = await tables(queries)
    .selectFrom('crls')
    .selectAll()
    .where('authority_id', '=', authorityId)
    .where('shard', '=', shard)
    .executeTakeFirst();
  return row === undefined ? null : toCrl(row);
}

/** True if the authority has a list of this number. */
export async function hasShard(queries: Queries, authorityId: EntityId<'authority'>, shard: number): Promise<boolean> {
  const found = tables(queries).selectFrom('crls').select('shard').where('authority_id', '=', authorityId).where('shard', '=', shard);
  return (await found.executeTakeFirst()) !== undefined;
}

/** All lists without their octets. */
export async function listCrlStates(queries: Queries): Promise<CrlState[]> {
  const rows = await tables(queries)
    .selectFrom('crls')
    .select(['authority_id', 'shard', 'revision', 'covered', 'number', 'this_update'])
    .orderBy('authority_id')
    .orderBy('shard')
    .execute();
  return rows.map(toState);
}

/** Publishes a list. False, and nothing done, if another was published since `before` was read: its number would not rise. */
export async function publishCrl(
  queries: Queries,
  before: CrlState,
  next: Pick<CrlRecord, 'covered' | 'number' | 'base'> & { readonly built: NonNullable<CrlRecord['built']> },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('crls')
    .set({
      covered: next.covered,
      number: next.number,
      this_update: next.built.thisUpdate,
      next_update: next.built.nextUpdate,
      der: next.built.der,
      delta: next.built.delta,
      base_number: next.base?.number ?? null,
      base_covered: next.base?.covered ?? null,
      base_this_update: next.base?.thisUpdate ?? null,
    })
    .where('authority_id', '=', before.authorityId)
    .where('shard', '=', before.shard)
    .where('number', '=', before.number)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

type CrlRow = {
  authority_id: string;
  shard: number;
  revision: number;
  covered: number;
  number: number;
  this_update: number | null;
  next_update: number | null;
  der: Uint8Array | null;
  base_number: number | null;
  base_covered: number | null;
  base_this_update: number | null;
  delta: Uint8Array | null;
};

const tables = (queries: Queries) => queries.withTables<{ certificates: CertificateRow; crls: CrlRow }>();

function toState(row: Pick<CrlRow, 'authority_id' | 'shard' | 'revision' | 'covered' | 'number' | 'this_update'>): CrlState {
  const { authority_id: authorityId, shard, revision, covered, number, this_update: thisUpdate } = row;
  return { authorityId: authorityId as EntityId<'authority'>, shard, revision, covered, number, thisUpdate };
}

function toCrl(row: CrlRow): CrlRecord {
  const { this_update: thisUpdate, next_update: nextUpdate, der, delta } = row;
  const { base_number: number, base_covered: covered, base_this_update: baseUpdate } = row;
  return {
    ...toState(row),
    base: number === null || covered === null || baseUpdate === null ? null : { number, covered, thisUpdate: baseUpdate },
    built: thisUpdate === null || nextUpdate === null || der === null ? null : { thisUpdate, nextUpdate, der, delta },
  };
}

/** SQLite takes 32,766 parameters in one statement. */
const ROWS_A_STATEMENT = 256;
