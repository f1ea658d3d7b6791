import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { AskerRole, ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateKey, CertificateNames } from '../../control/ca/certificate-store.ts';
import type { Queries } from '../../platform/db/database.ts';

/** What a device may have once, and what became of it. */
export type Challenge = {
  readonly id: EntityId<'token'>;
  readonly environment: string;
  readonly region: string;
  readonly profile: ProfileName;
  readonly spiffeId: SpiffeId | null;
  readonly names: CertificateNames;
  readonly maker: string;
  readonly makerRole: AskerRole;
  /** Of who made it. */
  readonly tokenId: EntityId<'token'>;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
  readonly revokedAt: Instant | null;
  readonly usedAt: Instant | null;
  readonly spkiSha256: string | null;
  readonly transactionId: string | null;
  readonly requestId: EntityId<'request'> | null;
  readonly certificate: CertificateKey | null;
};

type NewRow = Omit<Challenge, 'revokedAt' | 'usedAt' | 'spkiSha256' | 'transactionId' | 'requestId' | 'certificate'> & {
  readonly secretSha256: Uint8Array;
};

export async function insertChallenge(queries: Queries, made: NewRow): Promise<void> {
  await tables(queries)
    .insertInto('scep_challenges')
    .values({
      id: made.id,
      environment: made.environment,
      region: made.region,
      profile: made.profile,
      spiffe_id: made.spiffeId,
      names: JSON.stringify(made.names),
      secret_sha256: made.secretSha256,
      maker: made.maker,
      maker_role: made.makerRole,
      token_id: made.tokenId,
      created_at: made.createdAt,
      expires_at: made.expiresAt,
      revoked_at: null,
      used_at: null,
      spki_sha256: null,
      transaction_id: null,
      request_id: null,
      issuer_key_sha256: null,
      serial: null,
    })
    .execute();
}

export async function findChallengeBySecret(queries: Queries, secretSha256: Uint8Array): Promise<Challenge | null> {
  const row = await tables(queries).selectFrom('scep_challenges').selectAll().where('secret_sha256', '=', secretSha256).executeTakeFirst();
  return row === undefined ? null : toChallenge(row);
}

export async function findChallengeById(queries: Queries, id: string): Promise<Challenge | null> {
  const row = await tables(queries).selectFrom('scep_challenges').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toChallenge(row);
}

/** The one that this key used in this transaction. */
export async function findUsed(
  queries: Queries,
  { spkiSha256, transactionId }: { readonly spkiSha256: string; readonly transactionId: string },
): Promise<Challenge | null> {
  const row = await tables(queries)
    .selectFrom('scep_challenges')
    .selectAll()
    .where('spki_sha256', '=', spkiSha256)
    .where('transaction_id', '=', transactionId)
    .where('used_at', 'is not', null)
    .orderBy('used_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : toChallenge(row);
}

/** False, and nothing done, unless it is open. */
export async function useChallenge(
  queries: Queries,
  use: { readonly id: string; readonly spkiSha256: string; readonly transactionId: string },
  now: Instant,
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('scep_challenges')
    .set({ used_at: now, spki_sha256: use.spkiSha256, transaction_id: use.transactionId })
    .where('id', '=', use.id)
    .where('used_at', 'is', null)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** What waits for approval by it. */
export async function fileChallenge(queries: Queries, id: string, requestId: EntityId<'request'>): Promise<void> {
  await tables(queries).updateTable('scep_challenges').set({ request_id: requestId }).where('id', '=', id).execute();
}

/** What was issued for it. */
export async function settleChallenge(queries: Queries, id: string, { issuerKeySha256, serial }: CertificateKey): Promise<void> {
  await tables(queries).updateTable('scep_challenges').set({ issuer_key_sha256: issuerKeySha256, serial }).where('id', '=', id).execute();
}

/** False, and nothing done, unless it is open. */
export async function endChallenge(queries: Queries, id: string, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('scep_challenges')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('used_at', 'is', null)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Those that could still be used, newest first. */
export async function listOpenChallenges(queries: Queries, now: Instant): Promise<readonly Challenge[]> {
  const rows = await tables(queries)
    .selectFrom('scep_challenges')
    .selectAll()
    .where('expires_at', '>', now)
    .where('used_at', 'is', null)
    .where('revoked_at', 'is', null)
    .orderBy('id', 'desc')
    .limit(MAXIMUM_LISTED)
    .execute();
  return rows.map(toChallenge);
}

/** Forgets what ended before that moment; the log keeps what became of it. */
export async function pruneChallenges(queries: Queries, before: Instant): Promise<void> {
  await tables(queries).deleteFrom('scep_challenges').where('expires_at', '<', before).execute();
}

/** The name stands in the asker of what it buys; a pipeline may bear that of a person. Returns how many bore it. */
export async function renameMakers(queries: Queries, name: string, instead: string): Promise<number> {
  const { numUpdatedRows } = await tables(queries)
    .updateTable('scep_challenges')
    .set({ maker: instead })
    .where('maker', '=', name)
    .where('maker_role', '!=', 'ci')
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

type Row = {
  id: string;
  environment: string;
  region: string;
  profile: string;
  spiffe_id: string | null;
  names: string;
  secret_sha256: Uint8Array;
  maker: string;
  maker_role: string;
  token_id: string;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
  used_at: number | null;
  spki_sha256: string | null;
  transaction_id: string | null;
  request_id: string | null;
  issuer_key_sha256: string | null;
  serial: Uint8Array | null;
};

const tables = (queries: Queries) => queries.withTables<{ scep_challenges: Row }>();

function toChallenge(row: Row): Challenge {
  const { issuer_key_sha256: issuerKeySha256, serial } = row;
  return {
    id: row.id as EntityId<'token'>,
    environment: row.environment,
    region: row.region,
    profile: row.profile as ProfileName,
    spiffeId: row.spiffe_id as SpiffeId | null,
    names: JSON.parse(row.names) as CertificateNames,
    maker: row.maker,
    makerRole: row.maker_role as AskerRole,
    tokenId: row.token_id as EntityId<'token'>,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    usedAt: row.used_at,
    spkiSha256: row.spki_sha256,
    transactionId: row.transaction_id,
    requestId: row.request_id as EntityId<'request'> | null,
    certificate: issuerKeySha256 === null || serial === null ? null : { issuerKeySha256, serial },
  };
}

const MAXIMUM_LISTED = 1_000;
