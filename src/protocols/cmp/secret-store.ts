import { sql } from 'kysely';
import type { Role } from '../../control/access/role.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** What a shared secret buys, without the secret, which is derived. */
export type CmpSecret = {
  readonly id: EntityId<'token'>;
  readonly name: string;
  readonly role: Role;
  readonly environment: string;
  readonly region: string;
  readonly profile: ProfileName;
  readonly spiffeId: SpiffeId | null;
  /** In their one spelling. */
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly maxLifetimeMs: number;
  /** How many certificates it buys, and how many it bought. */
  readonly uses: number;
  readonly used: number;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
  readonly revokedAt: Instant | null;
};

export async function insertSecret(queries: Queries, secret: CmpSecret): Promise<void> {
  await tables(queries)
    .insertInto('cmp_secrets')
    .values({
      id: secret.id,
      name: secret.name,
      role: secret.role,
      environment: secret.environment,
      region: secret.region,
      profile: secret.profile,
      spiffe_id: secret.spiffeId,
      dns_names: JSON.stringify(secret.dnsNames),
      ip_addresses: JSON.stringify(secret.ipAddresses),
      max_lifetime_ms: secret.maxLifetimeMs,
      uses: secret.uses,
      used: secret.used,
      created_at: secret.createdAt,
      expires_at: secret.expiresAt,
      revoked_at: secret.revokedAt,
    })
    .execute();
}

export async function findSecret(queries: Queries, id: string): Promise<CmpSecret | null> {
  const row = await tables(queries).selectFrom('cmp_secrets').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toSecret(row);
}

/** Takes one of its uses. False, and nothing done, if none is left or it has ended. */
export async function claimSecret(queries: Queries, id: EntityId<'token'>, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('cmp_secrets')
    .set({ used: sql<number>`used + 1` })
    .where('id', '=', id)
    .where('used', '<', sql.ref<number>('uses'))
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** False, and nothing done, if it is revoked already. */
export async function endSecret(queries: Queries, id: string, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('cmp_secrets')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Secrets that could still buy something, newest first. */
export async function listOpenSecrets(queries: Queries, now: Instant): Promise<CmpSecret[]> {
  const rows = await tables(queries)
    .selectFrom('cmp_secrets')
    .selectAll()
    .where('used', '<', sql.ref<number>('uses'))
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .orderBy('id', 'desc')
    .limit(MAXIMUM_LISTED)
    .execute();
  return rows.map(toSecret);
}

/** The name is for whoever looks at the list; returns how many secrets bore it. */
export async function renameSecrets(queries: Queries, name: string, instead: string): Promise<number> {
  const { numUpdatedRows } = await tables(queries)
    .updateTable('cmp_secrets')
    .set({ name: instead })
    .where('name', '=', name)
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

/** Forgets what ended before that moment. */
export async function deleteEndedSecrets(queries: Queries, before: Instant): Promise<void> {
  await tables(queries).deleteFrom('cmp_secrets').where('expires_at', '<', before).execute();
}

type SecretRow = {
  id: string;
  name: string;
  role: string;
  environment: string;
  region: string;
  profile: string;
  spiffe_id: string | null;
  dns_names: string;
  ip_addresses: string;
  max_lifetime_ms: number;
  uses: number;
  used: number;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
};

const tables = (queries: Queries) => queries.withTables<{ cmp_secrets: SecretRow }>();

function toSecret(row: SecretRow): CmpSecret {
  return {
    id: row.id as EntityId<'token'>,
    name: row.name,
    role: row.role as Role,
    environment: row.environment,
    region: row.region,
    profile: row.profile as ProfileName,
    spiffeId: row.spiffe_id as SpiffeId | null,
    dnsNames: JSON.parse(row.dns_names) as readonly string[],
    ipAddresses: JSON.parse(row.ip_addresses) as readonly string[],
    maxLifetimeMs: row.max_lifetime_ms,
    uses: row.uses,
    used: row.used,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}

const MAXIMUM_LISTED = 1_000;
