import type { EntityId } from '../../core/ids/entity-id.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { findDeclaredProxies } from '../inventory/store.ts';
import { deleteEnvoyRefusalsBefore, upsertEnvoyRefusal } from './envoy-refusal-store.ts';

/** A resource that an Envoy did not take, or that was not sent to it because it would not. */
export type RefusedResource = {
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  readonly reason: string;
  readonly by: 'envoy' | 'countersign';
};

/**
 * Logs what an Envoy does not have in its present form, and why, and keeps what it refused itself where every server sees it, for the next one that it
 * connects to; one commit for all.
 */
export async function recordEnvoyRefusals(
  { database }: { readonly database: AuditedDatabase },
  proxyId: EntityId<'proxy'>,
  refused: readonly RefusedResource[],
  now: Instant,
): Promise<void> {
  if (refused.length === 0) return;
  await database.commit(async (unit) => {
    const [proxy] = await findDeclaredProxies(unit.queries, [proxyId]);
    if (proxy === undefined) return;
    const { environment, region } = proxy;
    for (const { typeUrl, name, version, reason, by } of refused.slice(0, MAXIMUM_ENTRIES)) {
      const actor = by === 'envoy' ? ({ kind: 'machine', name: proxyId } as const) : ({ kind: 'system', name: 'fleet' } as const);
      const resourceType = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
      const data = { proxyId, resourceType, name: name.slice(0, MAXIMUM_NAME), version, reason: reason.slice(0, MAXIMUM_REASON), by };
      recordEntry(unit, { type: 'envoy-resource.refused', at: now, environment, region, actor, data });
    }
    const own = refused.filter(({ by }) => by === 'envoy').slice(0, MAXIMUM_KEPT);
    for (const { typeUrl, name, version, reason } of own)
      await upsertEnvoyRefusal(unit.queries, { proxyId, typeUrl, name, version, reason: reason.slice(0, MAXIMUM_REASON), at: now });
    if (own.length > 0) await deleteEnvoyRefusalsBefore(unit.queries, now - KEPT_MS);
  });
}

/** One mistake can be in every resource of a proxy; to name some of them is enough. */
const MAXIMUM_ENTRIES = 20;
const MAXIMUM_NAME = 300;
/** As many as a server remembers of one Envoy. */
const MAXIMUM_KEPT = 1_000;
/** Nobody waits so long for what was refused: it was mended, or it is sent once more to whoever may know it by now. */
const KEPT_MS = 30 * DAY_MS;
const MAXIMUM_REASON = 500;
