import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { ClusterLoadAssignmentSchema } from '../../core/messages/generated/envoy/config/endpoint/v3/endpoint_pb.ts';
import { hasAddresses } from './endpoint-content.ts';

function octetsOf(ports: readonly number[]): Uint8Array {
  const lbEndpoints = ports.map((portValue) => ({
    hostIdentifier: {
      case: 'endpoint' as const,
      value: {
        address: {
          address: {
            case: 'socketAddress' as const,
            value: { address: '10.0.0.1', portSpecifier: { case: 'portValue' as const, value: portValue } },
          },
        },
      },
    },
  }));
  return toBinary(ClusterLoadAssignmentSchema, create(ClusterLoadAssignmentSchema, { clusterName: 'c', endpoints: [{ lbEndpoints }] }));
}

/** As /config_dump?include_eds has it: with what Envoy adds. */
function shown(ports: readonly number[]): unknown {
  return {
    '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
    cluster_name: 'c',
    endpoints: ports.map((port) => ({
      locality: {},
      lb_endpoints: [
        {
          endpoint: { address: { socket_address: { address: '10.0.0.1', port_value: port } }, health_check_config: {}, hostname: 'a' },
          health_status: 'HEALTHY',
          metadata: {},
          load_balancing_weight: 1,
        },
      ],
    })),
  };
}

test('the same addresses are the same in any order and under any locality', () => {
  assert.ok(hasAddresses(shown([80, 81]), octetsOf([81, 80])));
  assert.ok(hasAddresses(shown([]), octetsOf([])));
});

test('one more, one less, another one, or what is no list of addresses is not the same', () => {
  for (const ports of [[80], [80, 81, 82], [80, 82], [80, 80], []])
    assert.ok(!hasAddresses(shown(ports), octetsOf([80, 81])), String(ports));
  for (const odd of [undefined, null, 'x', 7, { endpoints: 'x' }, { endpoints: [{ lb_endpoints: [{ endpoint: {} }] }] }])
    assert.ok(!hasAddresses(odd, octetsOf([80])), JSON.stringify(odd));
});
