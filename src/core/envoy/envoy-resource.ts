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
  /** The digest of all of it but marks that end connections: what differs in these alone admits and carries the same. */
  readonly base?: string;
  /** Clusters without which it would fail calls that succeeded before. */
  readonly needs?: readonly string[];
};

/** Encodes a resource; the same message gives the same octets. */
export function envoyResource<D extends DescMessage>(schema: D, name: string, message: MessageShape<D>): EnvoyResource {
  return encodedResource(schema, name, toBinary(schema, message));
}

/** The same of a message that is encoded already. */
export function encodedResource(schema: DescMessage, name: string, octets: Uint8Array): EnvoyResource {
  const digest = digestOf(octets);
  return { typeUrl: `type.googleapis.com/${schema.typeName}`, name, digest, octets };
}

export function digestOf(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex').slice(0, DIGEST_CHARACTERS);
}

const DIGEST_CHARACTERS = 32;
