import type { ReplicaCount } from '../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { replicaEvents } from '../core/tls/replica-event.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';

/** Adds up what a data plane reported of replicas. Events that a newer one may know are left out. */
export function countReplicas(metrics: Pick<Metrics, 'add'>, replicas: readonly ReplicaCount[]): void {
  for (const { event, count } of replicas.slice(0, MAXIMUM_COUNTS)) {
    const known = replicaEvents.find((word) => word === event);
    if (known !== undefined)
      metrics.add('countersign_replica_events_total', { event: known }, Number(count < MAXIMUM_COUNT ? count : MAXIMUM_COUNT));
  }
}

/** Endpoints that one data plane calls, times events. */
const MAXIMUM_COUNTS = 2_000;
/** More than a data plane can do between two reports. */
const MAXIMUM_COUNT = 1_000_000n;
