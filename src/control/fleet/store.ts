import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Mode, Origination } from '../../core/policy/mode.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { environmentsIn } from '../policies/environments-in.ts';

/** What a path's stage means for both of its ends. */
export type PathMode = {
  readonly pathId: EntityId<'path'>;
  readonly environment: string;
  readonly region: string;
  readonly receiverMode: Mode;
  readonly origination: Origination;
  readonly updatedAt: Instant;
};

/** What one proxy must run, and what it said about it. */
export type SettingsRecord = {
  readonly proxyId: EntityId<'proxy'>;
  readonly environment: string;
  readonly region: string;
  /** Rises by one with every change of content. */
  readonly generation: number;
  /** SHA-256 over the content without its generation, lower case hex. */
  readonly digest: string;
  readonly acknowledgedGeneration: number;
  readonly acknowledgedAt: Instant | null;
  readonly refusedGeneration: number;
  readonly refusal: string | null;
};

export async function listPathModes(queries: Queries, scope: Scope): Promise<readonly PathMode[]> {
  const rows = await tables(queries)
    .selectFrom('path_modes')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('path_id')
    .execute();
  return rows.map((row) => ({
    pathId: row.path_id as EntityId<'path'>,
    environment: row.environment,
    region: row.region,
    receiverMode: row.receiver_mode as Mode,
    origination: row.origination as PathMode['origination'],
    updatedAt: row.updated_at,
  }));
}

export async function upsertPathMode(queries: Queries, mode: PathMode): Promise<void> {
  const values = {
    environment: mode.environment,
    region: mode.region,
    receiver_mode: mode.receiverMode,
    origination: mode.origination,
    updated_at: mode.updatedAt,
  };
  await tables(queries)
    .insertInto('path_modes')
    .values({ ...values, path_id: mode.pathId })
    .onConflict((conflict) => conflict.column('path_id').doUpdateSet(values))
    .execute();
}

export async function listSettings(queries: Queries, scope: Scope): Promise<readonly SettingsRecord[]> {
  const rows = await tables(queries)
    .selectFrom('proxy_settings')
    .select(['proxy_id', 'environment', 'region', 'generation', 'digest'])
    .select(['acknowledged_generation', 'acknowledged_at', 'refused_generation', 'refusal'])
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('proxy_id')
    .execute();
  return rows.map((row) => ({
    proxyId: row.proxy_id as EntityId<'proxy'>,
    environment: row.environment,
    region: row.region,
    generation: row.generation,
    digest: row.digest,
    acknowledgedGeneration: row.acknowledged_generation,
    acknowledgedAt: row.acknowledged_at,
    refusedGeneration: row.refused_generation,
    refusal: row.refusal,
  }));
}

/** The settings of one proxy, encoded; null if it has none. */
export async function readSettings(
  queries: Queries,
  proxyId: EntityId<'proxy'>,
): Promise<{ readonly generation: number; readonly digest: string; readonly octets: Uint8Array } | null> {
  const row = await tables(queries)
    .selectFrom('proxy_settings')
    .select(['generation', 'digest', 'content'])
    .where('proxy_id', '=', proxyId)
    .executeTakeFirst();
  return row === undefined ? null : { generation: row.generation, digest: row.digest, octets: row.content };
}

/** The trust domains of others that the settings of one proxy need. */
export type TrustDomainNeed = {
  readonly proxyId: EntityId<'proxy'>;
  readonly environment: string;
  readonly trustDomains: readonly string[];
};

/** Of the proxies that need any. */
export async function listTrustDomainNeeds(queries: Queries): Promise<readonly TrustDomainNeed[]> {
  const rows = await tables(queries)
    .selectFrom('proxy_settings')
    .select(['proxy_id', 'environment', 'trust_domains'])
    .where('trust_domains', '<>', '[]')
    .execute();
  return rows.map(({ proxy_id, environment, trust_domains }) => ({
    proxyId: proxy_id as EntityId<'proxy'>,
    environment,
    trustDomains: JSON.parse(trust_domains) as string[],
  }));
}

/** A new generation. What was said of the one before stays. */
export async function upsertSettings(
  queries: Queries,
  record: Pick<SettingsRecord, 'proxyId' | 'environment' | 'region' | 'generation' | 'digest'> & {
    readonly octets: Uint8Array;
    readonly trustDomains: readonly string[];
  },
  now: Instant,
): Promise<void> {
  const { proxyId, environment, region, generation, digest, octets, trustDomains } = record;
  const trust_domains = JSON.stringify(trustDomains);
  const values = { environment, region, generation, digest, content: octets, trust_domains, updated_at: now };
  const unsaid = { acknowledged_generation: 0, acknowledged_at: null, refused_generation: 0, refusal: null };
  await tables(queries)
    .insertInto('proxy_settings')
    .values({ ...values, ...unsaid, proxy_id: proxyId })
    .onConflict((conflict) => conflict.column('proxy_id').doUpdateSet(values))
    .execute();
}

/** Of a proxy that is declared no more: it keeps its last good settings, and gets none. */
export async function deleteSettings(queries: Queries, proxyId: EntityId<'proxy'>): Promise<void> {
  await tables(queries).deleteFrom('proxy_settings').where('proxy_id', '=', proxyId).execute();
}

/** Never goes back: of two acknowledgements that cross, the later generation stays. */
export async function markAcknowledged(queries: Queries, proxyId: EntityId<'proxy'>, generation: number, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('proxy_settings')
    .set({ acknowledged_generation: generation, acknowledged_at: now })
    .where('proxy_id', '=', proxyId)
    .where('generation', '>=', generation)
    .where('acknowledged_generation', '<', generation)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

export async function markRefused(queries: Queries, proxyId: EntityId<'proxy'>, generation: number, refusal: string): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('proxy_settings')
    .set({ refused_generation: generation, refusal })
    .where('proxy_id', '=', proxyId)
    .where('generation', '>=', generation)
    .where('refused_generation', '<', generation)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Renewal epochs by proxy; a proxy without one is at 0. */
export async function readRenewalEpochs(queries: Queries): Promise<ReadonlyMap<EntityId<'proxy'>, number>> {
  const rows = await tables(queries).selectFrom('renewal_epochs').select(['proxy_id', 'epoch']).execute();
  return new Map(rows.map((row) => [row.proxy_id as EntityId<'proxy'>, row.epoch]));
}

export async function raiseRenewalEpoch(
  queries: Queries,
  proxy: { readonly id: EntityId<'proxy'>; readonly environment: string; readonly region: string },
  now: Instant,
): Promise<number> {
  const { id, environment, region } = proxy;
  const row = await tables(queries)
    .insertInto('renewal_epochs')
    .values({ proxy_id: id, environment, region, epoch: 1, requested_at: now })
    .onConflict((conflict) =>
      conflict.column('proxy_id').doUpdateSet((set) => ({ epoch: set('renewal_epochs.epoch', '+', 1), requested_at: now })),
    )
    .returning('epoch')
    .executeTakeFirstOrThrow();
  return row.epoch;
}

/** How often modes and epochs changed, and what the stored settings were made from. */
export async function readFleetRevision(queries: Queries): Promise<{ readonly value: number; readonly compiledFrom: string }> {
  const row = await tables(queries).selectFrom('fleet_revision').select(['value', 'compiled_from']).executeTakeFirstOrThrow();
  return { value: row.value, compiledFrom: row.compiled_from };
}

export async function advanceFleetRevision(queries: Queries): Promise<void> {
  await tables(queries)
    .updateTable('fleet_revision')
    .set((set) => ({ value: set('value', '+', 1) }))
    .execute();
}

export async function markCompiled(queries: Queries, compiledFrom: string): Promise<void> {
  await tables(queries).updateTable('fleet_revision').set({ compiled_from: compiledFrom }).execute();
}

type Place = { environment: string; region: string };
type SettingsRow = Place & {
  proxy_id: string;
  generation: number;
  digest: string;
  trust_domains: string;
  content: Uint8Array;
  updated_at: number;
  acknowledged_generation: number;
  acknowledged_at: number | null;
  refused_generation: number;
  refusal: string | null;
};

const tables = (queries: Queries) =>
  queries.withTables<{
    path_modes: Place & { path_id: string; receiver_mode: string; origination: string; updated_at: number };
    proxy_settings: SettingsRow;
    renewal_epochs: Place & { proxy_id: string; epoch: number; requested_at: number };
    fleet_revision: { id: number; value: number; compiled_from: string };
  }>();
