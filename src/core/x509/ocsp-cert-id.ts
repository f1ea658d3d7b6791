import { hash } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import { type DerReader, equalOctets, malformed, readInteger, tags } from './der.ts';
import { type DerNode, encodeDer, nullValue, octetString, oid, primitive, sequence } from './der-writer.ts';
import { oids, readOid } from './oid.ts';

/** The hashes by which a client may name an issuer here: SHA-1 of old, SHA-256 by RFC 9919 section 3.1.1. */
export type CertIdHash = 'sha1' | 'sha256';

/** Which certificate is asked about (RFC 6960 section 4.1.1). */
export type CertId = {
  /** As it was asked, to be echoed octet for octet. */
  readonly der: Uint8Array;
  /** Null: another hash, by which this house names nobody. */
  readonly hash: CertIdHash | null;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** Content octets of the serial INTEGER. */
  readonly serial: Uint8Array;
};

/** An issuer's two hashes. */
export type IssuerHashes = Pick<CertId, 'issuerNameHash' | 'issuerKeyHash'>;

/** Over the subject's DER, and over the key's octets without tag, length and unused bits (RFC 6960 section 4.1.1). */
export function issuerHashesOf({ subject, keyOctets }: Certificate, algorithm: CertIdHash): IssuerHashes {
  return { issuerNameHash: hash(algorithm, subject.der, 'buffer'), issuerKeyHash: hash(algorithm, keyOctets, 'buffer') };
}

/** `CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber }`. @throws der-malformed */
export function readCertId(reader: DerReader): CertId {
  const start = reader.rest();
  const body = reader.enter(tags.sequence);
  const der = start.subarray(0, start.length - reader.rest().length);
  const algorithm = readHash(body);
  const issuerNameHash = body.content(tags.octetString);
  const issuerKeyHash = body.content(tags.octetString);
  const serial = readInteger(body);
  body.finish();
  if (serial.length > MAXIMUM_SERIAL) throw malformed(`serial number of ${serial.length} octets, expected at most ${MAXIMUM_SERIAL}`);
  const expected = algorithm === null ? null : hashOctets[algorithm];
  if (expected !== null && (issuerNameHash.length !== expected || issuerKeyHash.length !== expected)) {
    throw malformed(`issuer hashes of ${issuerNameHash.length} and ${issuerKeyHash.length} octets, expected ${expected}`);
  }
  return { der, hash: algorithm, issuerNameHash, issuerKeyHash, serial };
}

/** The CertID of a serial under an issuer. */
export function certIdNode(algorithm: CertIdHash, issuer: IssuerHashes, serial: Uint8Array): DerNode {
  return sequence(
    sequence(oid(oids[algorithm]), nullValue()),
    octetString(issuer.issuerNameHash),
    octetString(issuer.issuerKeyHash),
    primitive(tags.integer, serial),
  );
}

/** True if the CertID is one of this issuer, whose hashes by both algorithms are given. */
export function isOfIssuer(id: CertId, issuer: { readonly [H in CertIdHash]: IssuerHashes }): boolean {
  if (id.hash === null) return false;
  const { issuerNameHash, issuerKeyHash } = issuer[id.hash];
  return equalOctets(id.issuerKeyHash, issuerKeyHash) && equalOctets(id.issuerNameHash, issuerNameHash);
}

/** Parameters are NULL or absent; anything else would make endless spellings of one question. */
function readHash(body: DerReader): CertIdHash | null {
  const algorithm = body.enter(tags.sequence);
  const id = readOid(algorithm);
  const parameters = algorithm.rest();
  if (parameters.length > 0 && !equalOctets(parameters, NULL)) throw malformed('hash algorithm with parameters');
  return id === oids.sha1 ? 'sha1' : id === oids.sha256 ? 'sha256' : null;
}

const NULL = encodeDer(nullValue());
const hashOctets: { readonly [H in CertIdHash]: number } = { sha1: 20, sha256: 32 };
/** RFC 5280 section 4.1.2.2, and a sign octet. */
const MAXIMUM_SERIAL = 21;
