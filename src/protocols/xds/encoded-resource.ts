import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ResourceSchema } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';

/** One resource in one version, encoded once for every stream that it goes to. */
export type EncodedResource = {
  readonly name: string;
  /** What stands behind its last dot is of the content alone. */
  readonly version: string;
  /** Its message as field of an `envoy.service.discovery.v3.Resource`: the same octets in every version, for everybody that has it. */
  readonly body: Uint8Array;
  /** It exists and is not to be sent: who has another version keeps that. */
  readonly withheld?: boolean;
  /** Contents that differ from this one only in marks that end connections. To put it in the place of one of them is urgent to nothing else. */
  readonly sameBut?: ReadonlySet<string>;
  /** Clusters that the receiver has to have ready before it is sent. */
  readonly needs?: readonly string[];
};

/** Equal for equal content: a version, or of one such as `7.4.12.DIGEST`, which tells also when the content came to be, the digest. */
export function contentOf(version: string): string {
  return version.slice(version.lastIndexOf('.') + 1);
}

/** Encodes a resource from its message's octets. */
export function encodeResource(typeUrl: string, name: string, version: string, octets: Uint8Array): EncodedResource {
  const known = bodies.get(octets);
  if (known?.typeUrl === typeUrl) return { name, version, body: known.body };
  const body = toBinary(ResourceSchema, create(ResourceSchema, { resource: { typeUrl, value: octets } }));
  bodies.set(octets, { typeUrl, body });
  return { name, version, body };
}

/** The octets of a DeltaDiscoveryResponse around resources that are encoded already (fields 2 to 6 of the message). */
export function encodeDeltaResponse(response: {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
}): Uint8Array {
  const writer = new BinaryWriter();
  for (const { name, version, body } of response.resources) {
    const head = toBinary(ResourceSchema, create(ResourceSchema, { name, version }));
    // Messages one behind the other are one message with the fields of both.
    writer
      .tag(2, WireType.LengthDelimited)
      .uint32(head.length + body.length)
      .raw(head)
      .raw(body);
  }
  writer.tag(4, WireType.LengthDelimited).string(response.typeUrl);
  writer.tag(5, WireType.LengthDelimited).string(response.nonce);
  for (const name of response.removed) writer.tag(6, WireType.LengthDelimited).string(name);
  return writer.finish();
}

/** What many Envoys have, such as the lists of revoked certificates, is encoded and held once. */
const bodies = new WeakMap<Uint8Array, { readonly typeUrl: string; readonly body: Uint8Array }>();
