import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  Channel,
  Outcome,
  type PathCount,
  PathCountSchema,
  RefusalSchema,
  type ReplicaCount,
  ReplicaCountSchema,
  Side,
  type TelemetryReport,
  Unit,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { TelemetryBuffer } from './telemetry-buffer.ts';

const counted = (caller: string, count: bigint): PathCount =>
  create(PathCountSchema, {
    side: Side.RECEIVER,
    endpointId: 'endpoint_a',
    caller,
    channel: Channel.MTLS,
    unit: Unit.CALL,
    outcome: Outcome.ACCEPTED,
    count,
  });
const excepted = (exception: string): PathCount =>
  create(PathCountSchema, { endpointId: 'endpoint_a', outcome: Outcome.EXCEPTED, exception, count: 1n });
const sumOf = (counts: readonly PathCount[]): bigint => counts.reduce((sum, { count }) => sum + count, 0n);

test('reports are numbered from 1 without gaps and stay until they are acknowledged', () => {
  const buffer = new TelemetryBuffer('boot');
  for (let i = 0; i < 3; i++) buffer.add({ counts: [counted('a', 1n)] });
  assert.equal(buffer.after(0n)?.sequence, 1n);
  assert.equal(buffer.after(1n)?.sequence, 2n);
  buffer.acknowledge(2n);
  assert.equal(buffer.size, 1);
  assert.equal(buffer.after(0n)?.sequence, 3n);
  assert.equal(buffer.after(3n), null);
});

test('a full buffer grows its last report and loses no count', () => {
  const buffer = new TelemetryBuffer('boot', 3);
  for (let i = 0; i < 50; i++) buffer.add({ windowStartMs: BigInt(i + 1), windowEndMs: BigInt(i + 2), counts: [counted(`c${i % 2}`, 1n)] });
  assert.equal(buffer.size, 3);
  let total = 0n;
  let last = 0n;
  for (let report = buffer.after(0n); report !== null; report = buffer.after(last)) {
    assert.equal(report.sequence, last + 1n);
    last = report.sequence;
    total += sumOf(report.counts);
  }
  assert.equal(total, 50n);
  const third = buffer.after(2n)!;
  assert.equal(third.windowStartMs, 3n);
  assert.equal(third.windowEndMs, 51n);
});

test('a full buffer adds up what came under one exception, and nothing under the name of another', () => {
  const buffer = new TelemetryBuffer('boot', 2);
  for (const exception of ['first', 'kubelet', 'prometheus', 'kubelet']) buffer.add({ counts: [excepted(exception)] });
  assert.deepEqual(
    buffer.after(1n)!.counts.map(({ exception, count }) => [exception, count]),
    [
      ['kubelet', 2n],
      ['prometheus', 1n],
    ],
  );
});

test('a report that was handed out never changes', () => {
  const buffer = new TelemetryBuffer('boot', 2);
  buffer.add({ counts: [counted('a', 1n)] });
  buffer.add({ counts: [counted('a', 1n)] });
  const second = buffer.after(1n)!;
  buffer.add({ counts: [counted('a', 5n)] });
  assert.equal(sumOf(second.counts), 1n);
  assert.equal(sumOf(buffer.after(2n)!.counts), 5n);
});

test('what the caller keeps is not changed by merging', () => {
  const buffer = new TelemetryBuffer('boot', 2);
  const mine = counted('a', 1n);
  for (let i = 0; i < 4; i++) buffer.add({ counts: [mine] });
  assert.equal(mine.count, 1n);
});

test('refusals past the room are counted as dropped', () => {
  const buffer = new TelemetryBuffer('boot', 2);
  const refusals = Array.from({ length: 350 }, () => create(RefusalSchema, { endpointId: 'endpoint_a', reason: 'plaintext' }));
  buffer.add({});
  buffer.add({ refusals });
  buffer.add({ refusals, refusalsDropped: 3n });
  const report = buffer.after(1n)!;
  assert.equal(report.refusals.length, 500);
  assert.equal(report.refusalsDropped, 203n);
});

test('too many combinations fold into one without a caller; the totals stay true', () => {
  const buffer = new TelemetryBuffer('boot');
  buffer.add({ counts: Array.from({ length: 9_000 }, (_, i) => counted(`spiffe://example.test/prod/c${i}`, 2n)) });
  const report = buffer.after(0n)!;
  assert.ok(report.counts.length <= 4_001);
  assert.equal(sumOf(report.counts), 18_000n);
});

test('a report that the other side refuses can be given up', () => {
  const buffer = new TelemetryBuffer('boot');
  assert.equal(buffer.dropOldest(), null);
  buffer.add({});
  buffer.add({});
  assert.equal(buffer.dropOldest(), 1n);
  assert.equal(buffer.after(0n)?.sequence, 2n);
});

test('emptied() resolves when the last report was acknowledged, and at once when there is none', async () => {
  const buffer = new TelemetryBuffer('boot');
  await buffer.emptied();
  buffer.add({});
  buffer.add({});
  let isEmpty = false;
  const emptied = buffer.emptied().then(() => (isEmpty = true));
  buffer.acknowledge(1n);
  await Promise.resolve();
  assert.equal(isEmpty, false);
  buffer.acknowledge(2n);
  await emptied;
});

test('emptied() resolves when the last report was given up', async () => {
  const buffer = new TelemetryBuffer('boot');
  buffer.add({});
  const emptied = buffer.emptied();
  buffer.dropOldest();
  await emptied;
});

const happened = (endpointId: string, event: string): ReplicaCount => create(ReplicaCountSchema, { endpointId, event, count: 2n });
const said = ({ replicas }: Pick<TelemetryReport, 'replicas'>): string[] =>
  replicas.map(({ endpointId, event, count }) => `${endpointId} ${event} ${count}`);

test('what happened with replicas is added up by endpoint and event', () => {
  const buffer = new TelemetryBuffer('boot', 2);
  buffer.add({ replicas: [happened('endpoint_a', 'retry')] });
  for (let i = 0; i < 3; i++) {
    buffer.add({ replicas: [happened('endpoint_a', 'retry'), happened('endpoint_b', 'retry'), happened('endpoint_a', 'ejected')] });
  }
  assert.deepEqual(said(buffer.after(0n)!), ['endpoint_a retry 2']);
  assert.deepEqual(said(buffer.after(1n)!), ['endpoint_a retry 6', 'endpoint_b retry 6', 'endpoint_a ejected 6']);
});
