import { createHash } from 'node:crypto';
import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';

/** A resource of xDS as Envoy takes it. */
export type EnvoyResource = {
  readonly typeUrl: string;
  readonly name: string;
  /** Of the octets: SHA-256, lower-case hex, the first 32 characters. Equal digests are equal content. */
  readonly digest: string;
  /** The message, without the Any around it. */
  readonly octets: Uint8Array;
  /** Clusters without which it would fail calls that succeeded before. */
  readonly needs?: readonly string[];
};

/** Encodes a resource; the same message gives the same octets. */
export function envoyResource<D extends DescMessage>(schema: D, name: string, message: MessageShape<D>): EnvoyResource {
  return encodedResource(schema, name, toBinary(schema, message));
}

/** The same of a message that is encoded already. */
export function encodedResource(schema: DescMessage, name: string, octets: Uint8Array): EnvoyResource {
  const digest = createHash('sha256').update(octets).digest('hex').slice(0, DIGEST_CHARACTERS);
  return { typeUrl: `type.googleapis.com/${schema.typeName}`, name, digest, octets };
}

const DIGEST_CHARACTERS = 32;
