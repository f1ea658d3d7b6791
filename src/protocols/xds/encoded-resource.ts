import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ResourceSchema } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';

/** One resource in one version, encoded once for every stream that it goes to. */
export type EncodedResource = {
  readonly name: string;
  /** What stands behind its last dot is of the content alone. */
  readonly version: string;
  /** An `envoy.service.discovery.v3.Resource`. */
  readonly octets: Uint8Array;
  /** It exists and is not to be sent: who has another version keeps that. */
  readonly withheld?: boolean;
  /** Clusters that the receiver has to have ready before it is sent. */
  readonly needs?: readonly string[];
};

/** Equal for equal content: a version, or of one such as `7.4.12.DIGEST`, which tells also when the content came to be, the digest. */
export function contentOf(version: string): string {
  return version.slice(version.lastIndexOf('.') + 1);
}

/** Encodes a resource from its message's octets. */
export function encodeResource(typeUrl: string, name: string, version: string, body: Uint8Array): EncodedResource {
  return { name, version, octets: toBinary(ResourceSchema, create(ResourceSchema, { name, version, resource: { typeUrl, value: body } })) };
}

/** The octets of a DeltaDiscoveryResponse around resources that are encoded already (fields 2 to 6 of the message). */
export function encodeDeltaResponse(response: {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
}): Uint8Array {
  const writer = new BinaryWriter();
  for (const { octets } of response.resources) writer.tag(2, WireType.LengthDelimited).bytes(octets);
  writer.tag(4, WireType.LengthDelimited).string(response.typeUrl);
  writer.tag(5, WireType.LengthDelimited).string(response.nonce);
  for (const name of response.removed) writer.tag(6, WireType.LengthDelimited).string(name);
  return writer.finish();
}
