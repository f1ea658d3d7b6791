import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetFacts } from '../../control/fleet/read-fleet.ts';
import type { WindowRow } from '../../control/telemetry/read-telemetry.ts';
import { summarizeCoverage } from './coverage.ts';

const endpointId = 'endpoint_00000000000000000000000001';
const kubelet = { name: 'kubelet', kind: 'probe', owner: 'platform', until: 1 } as const;
const facts: FleetFacts = {
  paths: [],
  endpoints: [{ endpointId, serviceId: 'service_1', tier: 'standard', unit: 'call', receivers: [], exceptions: [kubelet] }],
  deliveries: new Map(),
};

const row = (given: Partial<WindowRow>): WindowRow => ({
  endpoint_id: endpointId,
  side: 'receiver',
  caller: '',
  channel: 'plaintext',
  unit: 'call',
  outcome: 'accepted',
  reason: '',
  exception: '',
  total: 1,
  first_at: 0,
  last_at: 1,
  ...given,
});

test('summarizeCoverage() counts what came under an exception apart, in the total and as neither mutual TLS nor plaintext', () => {
  const { received, exceptions, endpoints } = summarizeCoverage(
    facts,
    [],
    [
      row({ channel: 'mtls', caller: 'spiffe://acme.example/prod/web', total: 7 }),
      row({ outcome: 'would-refuse', reason: 'plaintext', total: 2 }),
      row({ outcome: 'excepted', exception: 'kubelet', total: 3 }),
      row({ outcome: 'excepted', exception: 'kubelet', channel: 'tls', total: 4 }),
      row({ outcome: 'excepted', exception: 'kubelet', unit: 'connection', total: 90 }),
      row({ outcome: 'refused', reason: 'plaintext', total: 5 }),
      row({ outcome: 'failed', reason: 'timeout', total: 6 }),
      row({ channel: 'passthrough', total: 8 }),
    ],
  );
  assert.deepEqual(received, { total: 16, mtls: 7, tls: 0, plaintext: 2, excepted: 7, refused: 5 });
  assert.deepEqual(exceptions, { kubelet: 7 });
  assert.equal(endpoints.excepted, 1);
});
