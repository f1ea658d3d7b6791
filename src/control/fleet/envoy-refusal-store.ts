import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** What an Envoy refused last under a name. */
export type EnvoyRefusalRecord = {
  readonly proxyId: EntityId<'proxy'>;
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  readonly reason: string;
  readonly at: Instant;
};

type Named = Pick<EnvoyRefusalRecord, 'proxyId' | 'typeUrl' | 'name'>;

/** Those of one proxy, or of all; the latest first. */
export async function listEnvoyRefusals(queries: Queries, proxyId: EntityId<'proxy'> | null): Promise<readonly EnvoyRefusalRecord[]> {
  const all = tables(queries).selectFrom('envoy_refusals').selectAll().orderBy('refused_at', 'desc');
  const rows = await (proxyId === null ? all : all.where('proxy_id', '=', proxyId)).limit(MAXIMUM_READ).execute();
  return rows.map((row) => ({
    proxyId: row.proxy_id as EntityId<'proxy'>,
    typeUrl: row.type_url,
    name: row.name,
    version: row.version,
    reason: row.reason,
    at: row.refused_at,
  }));
}

/** Puts it in the place of what was refused under the name before. */
export async function upsertEnvoyRefusal(queries: Queries, refusal: EnvoyRefusalRecord): Promise<void> {
  const { proxyId, typeUrl, name, version, reason, at } = refusal;
  await tables(queries)
    .insertInto('envoy_refusals')
    .values({ proxy_id: proxyId, type_url: typeUrl, name, version, reason, refused_at: at })
    .onConflict((conflict) => conflict.columns(['proxy_id', 'type_url', 'name']).doUpdateSet({ version, reason, refused_at: at }))
    .execute();
}

export async function deleteEnvoyRefusal(queries: Queries, { proxyId, typeUrl, name }: Named): Promise<void> {
  await tables(queries)
    .deleteFrom('envoy_refusals')
    .where('proxy_id', '=', proxyId)
    .where('type_url', '=', typeUrl)
    .where('name', '=', name)
    .execute();
}

export async function deleteEnvoyRefusals(queries: Queries, proxyId: EntityId<'proxy'>): Promise<void> {
  await tables(queries).deleteFrom('envoy_refusals').where('proxy_id', '=', proxyId).execute();
}

/** Whoever refused it so long ago may have it once more. */
export async function deleteEnvoyRefusalsBefore(queries: Queries, before: Instant): Promise<void> {
  await tables(queries).deleteFrom('envoy_refusals').where('refused_at', '<', before).execute();
}

type EnvoyRefusalRow = { proxy_id: string; type_url: string; name: string; version: string; reason: string; refused_at: number };

const tables = (queries: Queries) => queries.withTables<{ envoy_refusals: EnvoyRefusalRow }>();
/** Of one Envoy there are no more; of all of them, a list shows the latest. */
const MAXIMUM_READ = 1_000;
