import { fromBinary, fromJson, type JsonValue, toJsonString } from '@bufbuild/protobuf';
import { AddressSchema } from '../../core/messages/generated/envoy/config/core/v3/address_pb.ts';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '../../core/messages/generated/envoy/config/endpoint/v3/endpoint_pb.ts';

/** True if a cluster has these addresses and no others, as Envoy shows it; it adds to each what it makes of its health. */
export function hasAddresses(shown: unknown, octets: Uint8Array): boolean {
  try {
    const found = addressesOf(fromJson(ClusterLoadAssignmentSchema, shown as JsonValue, { ignoreUnknownFields: true }));
    const expected = addressesOf(fromBinary(ClusterLoadAssignmentSchema, octets));
    return found.length === expected.length && found.every((address, index) => address === expected[index]);
  } catch {
    return false;
  }
}

function addressesOf({ endpoints }: ClusterLoadAssignment): readonly string[] {
  const hosts = endpoints.flatMap(({ lbEndpoints }) => lbEndpoints).map(({ hostIdentifier }) => hostIdentifier.value?.address);
  return hosts.map((address) => (address === undefined ? '' : toJsonString(AddressSchema, address))).toSorted();
}
