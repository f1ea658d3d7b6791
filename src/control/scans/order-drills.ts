import type { EntityId } from '../../core/ids/entity-id.ts';
import { MINUTE_MS, type Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listEndpoints, listServices } from '../inventory/store.ts';
import { type DrillJobRecord, insertJobs } from './store.ts';

export type DrillOrder = { readonly environment: string; readonly endpointIds: readonly EntityId<'endpoint'>[]; readonly reason: string };
export type ScanDeps = { readonly database: AuditedDatabase; /** Told when there are new jobs or verdicts. */ readonly changed: Signal };

/** Orders one run of all drills at every address of these endpoints. Endpoints that are not ours, or have no address, are left out. */
export async function orderDrills(
  deps: ScanDeps,
  order: DrillOrder,
  actor: Actor,
  now: Instant,
): Promise<{ readonly runId: EntityId<'drill'>; readonly jobs: readonly DrillJobRecord[] }> {
  const runId = newEntityId('drill', now);
  const jobs = await deps.database.commit((unit) => insertRun(unit, runId, order, actor, now));
  if (jobs.length > 0) deps.changed.notify();
  return { runId, jobs };
}

async function insertRun(
  unit: AuditedUnit,
  runId: EntityId<'drill'>,
  order: DrillOrder,
  actor: Actor,
  now: Instant,
): Promise<DrillJobRecord[]> {
  const services = new Map((await listServices(unit.queries, [order.environment])).map((service) => [service.id, service]));
  const wanted = new Set(order.endpointIds);
  const endpoints = (await listEndpoints(unit.queries, [order.environment])).filter(
    ({ id, external }) => wanted.has(id) && external === null,
  );
  const jobs = endpoints.flatMap((endpoint) =>
    endpoint.addresses.map((address): DrillJobRecord => ({
      id: newEntityId('drill', now),
      runId,
      environment: endpoint.environment,
      region: endpoint.region,
      endpointId: endpoint.id,
      endpointName: endpoint.name,
      address,
      serverSpiffeId: services.get(endpoint.serviceId)!.spiffeId,
      protocol: endpoint.protocol,
      orderedAt: now,
      deadlineAt: now + DEADLINE_MS,
      closedAt: null,
    })),
  );
  await insertJobs(unit.queries, jobs);
  for (const endpoint of endpoints) {
    recordEntry(unit, {
      type: 'drill.ordered',
      at: now,
      environment: endpoint.environment,
      region: endpoint.region,
      actor,
      data: { runId, endpointId: endpoint.id, endpoint: endpoint.name, addresses: endpoint.addresses, reason: order.reason },
    });
  }
  return jobs;
}

/** Ten handshakes take a second or two; two of them wait for a revocation. A prober that is away gets a new run later. */
const DEADLINE_MS = MINUTE_MS;
