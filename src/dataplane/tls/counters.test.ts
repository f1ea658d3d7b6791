import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel, Outcome, Side, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Counters, type Happening, type RefusalRecord } from './counters.ts';

const call: Happening = {
  side: 'receiver',
  endpointId: 'endpoint_a',
  caller: 'spiffe://acme.example/prod/a',
  generation: 3n,
  channel: 'mtls',
  unit: 'call',
  outcome: 'accepted',
  reason: null,
};
const refusal: RefusalRecord = {
  endpointId: 'endpoint_a',
  at: 5,
  firstOctetsSha256: new Uint8Array(32),
  reason: 'plaintext',
  caller: '',
  certificate: null,
  resumed: false,
  octetsForwarded: 0,
};

test('count() adds equal happenings up and keeps different ones apart', () => {
  const counters = new Counters();
  counters.count(call);
  counters.count(call);
  counters.count({ ...call, outcome: 'would-refuse', reason: 'suspended' });
  const { counts } = counters.take();
  assert.deepEqual(
    counts.map(({ outcome, reason, count }) => [outcome, reason, count]),
    [
      [Outcome.ACCEPTED, '', 2n],
      [Outcome.WOULD_REFUSE, 'suspended', 1n],
    ],
  );
  assert.deepEqual(
    [counts[0]!.side, counts[0]!.channel, counts[0]!.unit, counts[0]!.generation],
    [Side.RECEIVER, Channel.MTLS, Unit.CALL, 3n],
  );
});

test('take() starts anew', () => {
  const counters = new Counters();
  counters.count(call);
  counters.refuse(refusal);
  counters.take();
  assert.deepEqual(counters.take(), { counts: [], refusals: [], refusalsDropped: 0n, replicas: [] });
});

test('count() stays bounded against any number of callers, and the sum stays true', () => {
  const counters = new Counters();
  for (let i = 0; i < 10_000; i++) counters.count({ ...call, caller: `spiffe://acme.example/prod/c${i}` });
  const { counts } = counters.take();
  assert.ok(counts.length <= 4_001);
  assert.equal(
    counts.reduce((sum, { count }) => sum + count, 0n),
    10_000n,
  );
});

test('refuse() is bounded, says what it dropped, and lets a flood of one kind hide no other', () => {
  const counters = new Counters();
  for (let i = 0; i < 10_000; i++) counters.refuse(refusal);
  counters.refuse({ ...refusal, reason: 'expired' });
  const { refusals, refusalsDropped } = counters.take();
  assert.equal(BigInt(refusals.length) + refusalsDropped, 10_001n);
  assert.equal(refusals.at(-1)!.reason, 'expired');
});
