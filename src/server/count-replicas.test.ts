import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ReplicaCountSchema } from '../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { countReplicas } from './count-replicas.ts';

const reported = (event: string, count: bigint, endpointId = 'endpoint_1') => create(ReplicaCountSchema, { endpointId, event, count });

test('what data planes report of replicas is added up by event, within bounds', () => {
  const metrics = createMetrics();
  countReplicas(metrics, [reported('retry', 2n), reported('retry', 3n, 'endpoint_2'), reported('ejected', 1n)]);
  countReplicas(metrics, [reported('retry', 5n), reported('exploded', 7n), reported('', 7n), reported('panic', 0xffff_ffff_ffff_ffffn)]);
  const lines = metrics
    .render()
    .split('\n')
    .filter((line) => line.startsWith('countersign_replica_events_total{'));
  assert.deepEqual(lines.toSorted(), [
    'countersign_replica_events_total{event="ejected"} 1',
    'countersign_replica_events_total{event="panic"} 1000000',
    'countersign_replica_events_total{event="retry"} 10',
  ]);
});

test('a report that names more than one data plane can call counts as much as it may', () => {
  const metrics = createMetrics();
  countReplicas(
    metrics,
    Array.from({ length: 10_000 }, () => reported('retry', 1n)),
  );
  assert.match(metrics.render(), /event="retry"\} 2000\n/);
});
