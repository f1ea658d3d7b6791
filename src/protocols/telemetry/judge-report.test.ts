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
  'a long boot id': { bootId: 'x'.repeat(65) },
  'too many counts': { counts: Array.from({ length: 10_001 }, () => good) },
  'too many open connections': { open: Array.from({ length: 10_001 }, () => ({ side: Side.RECEIVER, endpointId: 'endpoint_orders' })) },
  'too many refusals': { refusals: Array.from({ length: 1_001 }, () => ({ endpointId: 'endpoint_orders' })) },
  'too many served certificates': { served: Array.from({ length: 10_001 }, () => ({ endpointId: 'endpoint_orders' })) },
  'too many drill results': { drills: Array.from({ length: 1_001 }, () => ({})) },
})) {
  test(`refuses a report with ${what}`, () => assert.throws(() => judge(init), { code: 'input-invalid' }));
}

test('takes drill results of the probe', () => judge({ drills: [{ kind: 'positive' }, { kind: 'expired' }] }, { ...node, isProbe: true }));

test('leaves words of a later release to the store', () => judge({ counts: [{ ...good, channel: 77 as Channel, reason: 'quantum' }] }));
