import { expressionBuilder, type Generated, sql, type SqlBool } from 'kysely';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareQuery, type Values } from '../../platform/db/prepared-query.ts';
import type { Scope } from '../access/principal.ts';
import type { Role } from '../access/role.ts';
import { selectLiveToken } from '../access/store.ts';
import type { CertificateKey, CertificateNames } from '../ca/certificate-store.ts';
import { selectSuspendedIn } from '../ca/revocation-store.ts';
import { type DoorGrant, type GrantBounds, type GrantDoor, grantDoors, type GrantMaker, type GrantUse } from './door-grant.ts';

/** `secretSha256`: by which it is found, where it is not found by its id. */
export async function insertGrant(queries: Queries, grant: DoorGrant, secretSha256: Uint8Array | null): Promise<void> {
  const { bounds, maker } = grant;
  await tables(queries)
    .insertInto('door_grants')
    .values({
      id: grant.id,
      door: grant.door,
      environment: grant.environment,
      region: grant.region,
      name: grant.name,
      role: grant.role,
      profile: bounds?.profile ?? null,
      spiffe_id: bounds?.spiffeId ?? null,
      names: bounds === null ? null : JSON.stringify(bounds.names),
      max_lifetime_ms: bounds?.maxLifetimeMs ?? null,
      secret_sha256: secretSha256,
      uses: grant.uses,
      used: grant.used,
      maker: maker?.name ?? null,
      maker_kind: maker?.kind ?? null,
      maker_token: maker?.tokenId ?? null,
      created_at: grant.createdAt,
      expires_at: grant.expiresAt,
      revoked_at: grant.revokedAt,
    })
    .execute();
}

/** A grant of another door is none of this. */
export async function findGrant(queries: Queries, door: GrantDoor, id: string): Promise<DoorGrant | null> {
  const [row] = (await selectGrant(queries, { door, id })).rows;
  return row === undefined ? null : toGrant(row);
}

export async function findGrantBySecret(queries: Queries, door: GrantDoor, secretSha256: Uint8Array): Promise<DoorGrant | null> {
  const row = await tables(queries)
    .selectFrom('door_grants')
    .selectAll()
    .where('secret_sha256', '=', secretSha256)
    .where('door', '=', door)
    .executeTakeFirst();
  return row === undefined ? null : toGrant(row);
}

/** The one that this key used last under this word. */
export async function findUsedGrant(
  queries: Queries,
  door: GrantDoor,
  { spkiSha256, by }: { readonly spkiSha256: string; readonly by: string },
): Promise<DoorGrant | null> {
  const row = await tables(queries)
    .selectFrom('door_grants')
    .selectAll()
    .where('spki_sha256', '=', spkiSha256)
    .where('used_by', '=', by)
    .where('door', '=', door)
    .orderBy('used_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : toGrant(row);
}

/**
 * Takes one use. False, and nothing done, if none is left, it has ended, the token by which it was made has, or its identity is suspended. One statement, since it
 * stands in the commit of every certificate.
 */
export async function takeUse(
  queries: Queries,
  { id, door, by, spkiSha256 }: Pick<DoorGrant, 'id' | 'door'> & Pick<GrantUse, 'by' | 'spkiSha256'>,
  now: Instant,
): Promise<boolean> {
  return ((await useGrant(queries, { id, door, by, spkiSha256, now })).numAffectedRows ?? 0n) > 0n;
}

/** A grant falls with the token by which it was made. */
function madeByLiving(queries: Queries, now: Instant) {
  const { exists, or } = expressionBuilder<GrantTables, 'door_grants'>();
  return or([sql<SqlBool>`maker_token is null`, exists(selectLiveToken(queries, 'door_grants.maker_token', now))]);
}

/** What its use waits for. */
export async function fileGrant(queries: Queries, id: string, requestId: EntityId<'request'>): Promise<void> {
  await tables(queries).updateTable('door_grants').set({ request_id: requestId }).where('id', '=', id).execute();
}

/** What its use came to. */
export async function settleGrant(queries: Queries, id: string, { issuerKeySha256, serial }: CertificateKey): Promise<void> {
  await tables(queries).updateTable('door_grants').set({ issuer_key_sha256: issuerKeySha256, serial }).where('id', '=', id).execute();
}

/** False, and nothing done, if it is revoked already or, where nothing goes on under it, used up. */
export async function endGrant(queries: Queries, { id, door }: Pick<DoorGrant, 'id' | 'door'>, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('door_grants')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .$if(!grantDoors[door].holds, (query) => query.where('used', '<', sql.ref<number>('uses')))
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Those of a door that could still be used, newest first. */
export async function listOpenGrants(
  queries: Queries,
  { door, environments }: { readonly door: GrantDoor; readonly environments: Scope },
  now: Instant,
): Promise<readonly DoorGrant[]> {
  if (environments.length === 0) return [];
  const rows = await open(queries, now)
    .where('door', '=', door)
    .$if(environments !== '*', (query) => query.where('environment', 'in', environments as readonly string[]))
    .orderBy('id', 'desc')
    .limit(MAXIMUM_LISTED)
    .execute();
  return rows.map(toGrant);
}

/** Those that could still be used and are for whom the name says. */
export async function listOpenGrantsFor(queries: Queries, name: string, now: Instant): Promise<readonly DoorGrant[]> {
  return (await open(queries, now).where('name', '=', name).orderBy('id').execute()).map(toGrant);
}

function open(queries: Queries, now: Instant) {
  return tables(queries)
    .selectFrom('door_grants')
    .selectAll()
    .where('expires_at', '>', now)
    .where('used', '<', sql.ref<number>('uses'))
    .where('revoked_at', 'is', null)
    .where(madeByLiving(queries, now));
}

/** Puts another name in the place of whom grants are for, and of the persons who made them; returns how many it changed. A pipeline may bear the name of a person. */
export async function renameInGrants(queries: Queries, name: string, instead: string): Promise<number> {
  const { numAffectedRows } = await sql`
    update door_grants set name = case when name = ${name} then ${instead} else name end,
      maker = case when maker = ${name} and maker_kind = 'person' then ${instead} else maker end
    where name = ${name} or (maker = ${name} and maker_kind = 'person')`.execute(queries);
  return Number(numAffectedRows ?? 0n);
}

/** Forgets, a piece at a time, what ended before that moment; the log keeps what became of it. */
export async function deleteEndedGrants(queries: Queries, before: Instant): Promise<void> {
  await tables(queries)
    .deleteFrom('door_grants')
    .where('id', 'in', (ended) => ended.selectFrom('door_grants').select('id').where('expires_at', '<', before).limit(PIECE))
    .execute();
}

type GrantRow = {
  id: string;
  door: string;
  environment: string;
  region: string;
  name: string | null;
  role: string;
  profile: string | null;
  spiffe_id: string | null;
  names: string | null;
  max_lifetime_ms: number | null;
  secret_sha256: Uint8Array | null;
  uses: number;
  used: number;
  maker: string | null;
  maker_kind: string | null;
  maker_token: string | null;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
  used_at: number | null;
  used_by: string | null;
  spki_sha256: string | null;
  request_id: string | null;
  issuer_key_sha256: string | null;
  serial: Uint8Array | null;
};
/** What is null until it happens need not be named when a row is made. */
type Happens = 'used_at' | 'used_by' | 'spki_sha256' | 'request_id' | 'issuer_key_sha256' | 'serial';

type GrantTables = {
  door_grants: { [Name in Exclude<keyof GrantRow, Happens>]: GrantRow[Name] } & { [Name in Happens]: Generated<GrantRow[Name]> };
};

const tables = (queries: Queries) => queries.withTables<GrantTables>();

const selectGrant = prepareQuery((queries, value: Values<{ door: string; id: string }>) =>
  tables(queries).selectFrom('door_grants').selectAll().where('id', '=', value('id')).where('door', '=', value('door')),
);

type Used = { readonly id: string; readonly door: string; readonly by: string; readonly spkiSha256: string | null; readonly now: Instant };

const useGrant = prepareQuery((queries, value: Values<Used>) =>
  tables(queries)
    .updateTable('door_grants')
    .set({ used: sql<number>`used + 1`, used_at: value('now'), used_by: value('by'), spki_sha256: value('spkiSha256') })
    .where('id', '=', value('id'))
    .where('door', '=', value('door'))
    .where('used', '<', sql.ref<number>('uses'))
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', value('now'))
    .where(madeByLiving(queries, value('now')))
    .where(({ not, exists }) => not(exists(selectSuspendedIn(queries, 'door_grants.spiffe_id')))),
);

function toGrant(row: GrantRow): DoorGrant {
  return {
    id: row.id as EntityId<'token'>,
    door: row.door as GrantDoor,
    environment: row.environment,
    region: row.region,
    name: row.name,
    role: row.role as Role,
    bounds: boundsOfRow(row),
    uses: row.uses,
    used: row.used,
    maker: makerOfRow(row),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    lastUse: useOfRow(row),
  };
}

function boundsOfRow({ profile, spiffe_id: spiffeId, names, max_lifetime_ms: maxLifetimeMs }: GrantRow): GrantBounds | null {
  if (profile === null || names === null) return null;
  return {
    profile: profile as ProfileName,
    spiffeId: spiffeId as SpiffeId | null,
    names: JSON.parse(names) as CertificateNames,
    maxLifetimeMs,
  };
}

function makerOfRow({ maker: name, maker_kind: kind, maker_token: tokenId }: GrantRow): GrantMaker | null {
  if (name === null || tokenId === null) return null;
  return { name, kind: kind as GrantMaker['kind'], tokenId: tokenId as EntityId<'token'> };
}

function useOfRow(row: GrantRow): GrantUse | null {
  const { used_at: at, used_by: by, spki_sha256: spkiSha256, issuer_key_sha256: issuerKeySha256, serial } = row;
  if (at === null || by === null) return null;
  const certificate = issuerKeySha256 === null || serial === null ? null : { issuerKeySha256, serial };
  return { at, by, spkiSha256, requestId: row.request_id as EntityId<'request'> | null, certificate };
}

const MAXIMUM_LISTED = 1_000;
/** Enough for an hour of many devices, and a commit of some milliseconds. */
const PIECE = 1_000;
