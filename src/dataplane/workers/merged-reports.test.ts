import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  OpenConnectionsSchema,
  PathCountSchema,
  RefusalSchema,
  ReplicaCountSchema,
  ServedCertificateSchema,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { MergedReports } from './merged-reports.ts';

const count = (caller: string, calls: bigint) => create(PathCountSchema, { endpointId: 'endpoint_1', caller, count: calls });
const open = (calls: number) => create(OpenConnectionsSchema, { endpointId: 'endpoint_1', caller: 'a', count: calls });
const served = (serial: number) => create(ServedCertificateSchema, { endpointId: 'endpoint_1', serial: Buffer.of(serial) });
const saw = (event: string, times: bigint) => create(ReplicaCountSchema, { endpointId: 'endpoint_1', event, count: times });
const refusals = (reason: string, many: number) => Array.from({ length: many }, () => create(RefusalSchema, { reason }));

test('what happened at any worker is added up, and what is in force is what all have', () => {
  const { counts, refusalsDropped, generation, revokedSequence } = new MergedReports().merge([
    { counts: [count('a', 2n), count('b', 1n)], refusalsDropped: 1n, generation: 4n, revokedSequence: 9n },
    { counts: [count('a', 3n)], refusalsDropped: 2n, generation: 5n, revokedSequence: 8n },
  ]);
  assert.deepEqual(
    counts!.map(({ caller, count: calls }) => [caller, calls]),
    [
      ['a', 5n],
      ['b', 1n],
    ],
  );
  assert.equal(refusalsDropped, 3n);
  assert.equal(generation, 4n);
  assert.equal(revokedSequence, 8n);
});

test('what workers saw of replicas is added up', () => {
  const { replicas } = new MergedReports().merge([
    { replicas: [saw('retry', 1n)] },
    {},
    { replicas: [saw('ejected', 1n), saw('retry', 2n)] },
  ]);
  assert.deepEqual(
    replicas!.map(({ event, count: times }) => [event, times]),
    [
      ['retry', 3n],
      ['ejected', 1n],
    ],
  );
});

test('counts of the parts stay as they were', () => {
  const part = { counts: [count('a', 2n)] };
  new MergedReports().merge([part, part]);
  assert.equal(part.counts[0]!.count, 2n);
});

test('the connections of a worker that died are said to be closed, once', () => {
  const merged = new MergedReports();
  assert.deepEqual(openOf(merged.merge([{ open: [open(2)] }, { open: [open(3)] }])), [5]);
  assert.deepEqual(openOf(merged.merge([{ open: [open(2)] }])), [2]);
  assert.deepEqual(openOf(merged.merge([])), [0]);
  assert.deepEqual(openOf(merged.merge([])), []);
});

test('nothing is said of a certificate that not all of them serve yet', () => {
  const merged = new MergedReports();
  assert.equal(merged.merge([{ served: [served(1)] }, { served: [served(2)] }]).served!.length, 0);
  assert.deepEqual(
    merged.merge([{ served: [served(2)] }, { served: [served(2)] }]).served!.map(({ serial }) => [...serial]),
    [[2]],
  );
});

test('a flood at one worker hides no refusal of another, and what has no room is counted', () => {
  const merged = new MergedReports().merge([
    { refusals: refusals('plaintext', 100) },
    { refusals: refusals('plaintext', 100) },
    { refusals: refusals('expired', 1) },
  ]);
  assert.equal(merged.refusals!.length, 101);
  assert.equal(merged.refusals!.filter(({ reason }) => reason === 'expired').length, 1);
  assert.equal(merged.refusalsDropped, 100n);
});

function openOf({ open: gauges = [] }: ReturnType<MergedReports['merge']>): number[] {
  return gauges.map(({ count: calls }) => calls);
}
