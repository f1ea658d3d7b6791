import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { Channel, Outcome, Side, TelemetryReportSchema, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { Node } from '../data-plane/peer.ts';
import { judgeReport } from './judge-report.ts';

const node: Node = {
  proxyId: 'proxy_00000000000000000000000001',
  spiffeId: parseSpiffeId('spiffe://example.test/prod/orders'),
  environment: 'prod',
  region: 'eu',
  isProbe: false,
  issuerKeySha256: '00'.repeat(32),
  serialHex: '01',
  notAfter: 0,
};
const scope = { serves: new Set(['endpoint_orders']), calls: new Set(['endpoint_payments']) };
const good = {
  side: Side.RECEIVER,
  endpointId: 'endpoint_orders',
  channel: Channel.MTLS,
  unit: Unit.CALL,
  outcome: Outcome.ACCEPTED,
  count: 1n,
  caller: 'spiffe://example.test/prod/storefront',
};
const judge = (init: MessageInitShape<typeof TelemetryReportSchema>, by: Node = node): void =>
  judgeReport(by, scope, create(TelemetryReportSchema, { bootId: 'boot', sequence: 1n, ...init }));

test('takes what a proxy measured on what it serves and calls', () => {
  judge({
    windowStartMs: 1n,
    windowEndMs: 2n,
    counts: [
      good,
      {
        ...good,
        side: Side.CALLER,
        endpointId: 'endpoint_payments',
        caller: node.spiffeId,
        outcome: Outcome.FAILED,
        reason: 'upstream-unreachable',
      },
    ],
    open: [{ side: Side.CALLER, endpointId: 'endpoint_payments', channel: Channel.PLAINTEXT, count: 3 }],
    refusals: [{ endpointId: 'endpoint_orders', reason: 'plaintext', firstOctetsSha256: new Uint8Array(32) }],
    served: [{ endpointId: 'endpoint_orders', serial: new Uint8Array(16), issuerKeySha256: new Uint8Array(32) }],
  });
});

for (const [what, init] of Object.entries<MessageInitShape<typeof TelemetryReportSchema>>({
  'a path that it does not serve': { counts: [{ ...good, endpointId: 'endpoint_payments' }] },
  'a path that it does not call': { counts: [{ ...good, side: Side.CALLER, caller: '' }] },
  'calls of another caller': { counts: [{ ...good, side: Side.CALLER, endpointId: 'endpoint_payments' }] },
  'open connections of a foreign endpoint': { open: [{ side: Side.RECEIVER, endpointId: 'endpoint_x', channel: Channel.TLS, count: 1 }] },
  'refusals of a foreign endpoint': { refusals: [{ endpointId: 'endpoint_payments', reason: 'plaintext' }] },
  'a certificate served by a foreign endpoint': { served: [{ endpointId: 'endpoint_payments' }] },
  'drill results, without being the probe': { drills: [{ kind: 'expired' }] },
})) {
  test(`refuses telemetry for ${what}`, () => assert.throws(() => judge(init), { code: 'telemetry-refused' }));
}

for (const [what, init] of Object.entries<MessageInitShape<typeof TelemetryReportSchema>>({
  'no boot id': { bootId: '' },
  'a long boot id': { bootId: 'x'.repeat(65) },
  'sequence 0': { sequence: 0n },
  'a window that ends before it starts': { windowStartMs: 2n, windowEndMs: 1n },
  'a number past the safe integers': { generation: 2n ** 53n },
  'a count past the safe integers': { counts: [{ ...good, count: 2n ** 60n }] },
  'no side': { counts: [{ ...good, side: Side.UNSPECIFIED }] },
  'an unknown channel': { counts: [{ ...good, channel: 77 as Channel }] },
  'no outcome': { counts: [{ ...good, outcome: Outcome.UNSPECIFIED }] },
  'a reason outside of the closed set': { counts: [{ ...good, outcome: Outcome.REFUSED, reason: 'because' }] },
  'a failure without a reason': { counts: [{ ...good, outcome: Outcome.FAILED }] },
  'a digest of another length': {
    refusals: [{ endpointId: 'endpoint_orders', reason: 'plaintext', firstOctetsSha256: new Uint8Array(31) }],
  },
  'a long serial': { served: [{ endpointId: 'endpoint_orders', serial: new Uint8Array(22) }] },
  'too many counts': { counts: Array.from({ length: 10_001 }, () => good) },
  'too many refusals': { refusals: Array.from({ length: 1_001 }, () => ({ endpointId: 'endpoint_orders', reason: 'plaintext' })) },
})) {
  test(`refuses a report with ${what}`, () => assert.throws(() => judge(init), { code: 'input-invalid' }));
}

test('refuses a caller that is no SPIFFE ID', () => {
  assert.throws(() => judge({ counts: [{ ...good, caller: 'storefront' }] }), { code: 'input-invalid' });
});

test('takes drill results of the probe, and refuses unknown kinds', () => {
  const probe = { ...node, isProbe: true };
  judge({ drills: [{ kind: 'positive' }, { kind: 'expired' }] }, probe);
  assert.throws(() => judge({ drills: [{ kind: 'constructor' }] }, probe), { code: 'input-invalid' });
  assert.throws(() => judge({ drills: [{ kind: 'expired', seen: 'x'.repeat(201) }] }, probe), { code: 'input-invalid' });
});
