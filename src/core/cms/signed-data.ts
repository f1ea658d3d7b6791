import { createHash, type KeyObject, verify } from 'node:crypto';
import { contextConstructed, DerReader, equalOctets, malformed, readInteger, readSmallInteger, tags } from '../x509/der.ts';
import { type Name, readName } from '../x509/name.ts';
import { oids, readOid } from '../x509/oid.ts';
import { readAlgorithmIdentifier, type SignatureAlgorithm, verifySignature } from '../x509/signature-algorithm.ts';
import { cmsLimits, MAXIMUM_CMS_CERTIFICATES } from './cms-limits.ts';

export const digests = ['sha256', 'sha384', 'sha512'] as const;
export type Digest = (typeof digests)[number];

/** SignedData of one signer who signed attributes (RFC 5652 section 5); nothing of it is verified. */
export type SignedData = {
  /** Null: it has none. */
  readonly content: Uint8Array | null;
  /** DER, in the order of the message. */
  readonly certificates: readonly Uint8Array[];
  readonly issuer: Name;
  /** Content octets of the signer's serial number. */
  readonly serial: Uint8Array;
  /** `sha1` is read, so that it can be refused by name; null: MD5 or another. */
  readonly digest: Digest | 'sha1' | null;
  /** Null: none of ours, or one that does not belong to the digest; of SHA-1 by RSA alone. */
  readonly algorithm: SignatureAlgorithm | 'rsa-pkcs1-sha1' | null;
  /** The single value of each attribute, a whole element, by its type. */
  readonly attributes: ReadonlyMap<string, Uint8Array>;
  /** The attributes as they were signed: a SET. */
  readonly signedOctets: Uint8Array;
  readonly signature: Uint8Array;
};

/** Reads a ContentInfo that holds SignedData: strict DER, one signer named by issuer and serial number, attributes each once. @throws der-malformed */
export function parseSignedData(der: Uint8Array): SignedData {
  const reader = DerReader.over(der, cmsLimits);
  const body = enterContent(reader, oids.cmsSignedData).enter(tags.sequence);
  if (readSmallInteger(body) > MAXIMUM_VERSION) throw malformed('version of SignedData');
  body.element(tags.set);
  const content = readEncapsulated(body.enter(tags.sequence));
  const certificates = readCertificates(body.enterOptional(contextConstructed(0)));
  if (body.nextTag === contextConstructed(1)) body.element();
  const signers = body.enter(tags.set);
  const signer = signers.enter(tags.sequence);
  signers.finish();
  body.finish();
  return { content, certificates, ...readSigner(signer) };
}

/** Enters `ContentInfo { type, [0] EXPLICIT }` of this type; what stands in it is next. @throws der-malformed */
export function enterContent(reader: DerReader, expected: string): DerReader {
  const info = reader.enter(tags.sequence);
  reader.finish();
  const type = readOid(info);
  if (type !== expected) throw malformed(`content of type ${type}, expected ${expected}`);
  const content = info.enter(contextConstructed(0));
  info.finish();
  return content;
}

function readEncapsulated(info: DerReader): Uint8Array | null {
  if (readOid(info) !== oids.cmsData) throw malformed('encapsulated content that is no data');
  const explicit = info.enterOptional(contextConstructed(0));
  info.finish();
  if (explicit === null) return null;
  const octets = explicit.content(tags.octetString);
  explicit.finish();
  return octets;
}

function readCertificates(set: DerReader | null): readonly Uint8Array[] {
  const certificates: Uint8Array[] = [];
  if (set === null) return certificates;
  while (!set.done) {
    if (certificates.length === MAXIMUM_CMS_CERTIFICATES) throw malformed(`more than ${MAXIMUM_CMS_CERTIFICATES} certificates`);
    certificates.push(set.element(tags.sequence));
  }
  return certificates;
}

type Signer = Omit<SignedData, 'content' | 'certificates'>;

function readSigner(info: DerReader): Signer {
  // Version 1: the signer is named by issuer and serial number (section 5.3).
  if (readSmallInteger(info) !== 1) throw malformed('version of SignerInfo is not 1');
  const id = info.enter(tags.sequence);
  const issuer = readName(id);
  const serial = readInteger(id);
  id.finish();
  const digest = readDigest(info.enter(tags.sequence));
  const attributesElement = info.element(contextConstructed(0));
  const algorithm = signatureOf(info.element(tags.sequence), digest);
  const signature = info.content(tags.octetString);
  if (info.nextTag === contextConstructed(1)) info.element();
  info.finish();
  // Section 5.4: what is signed has the tag of a SET, in the place of the implicit one.
  const signedOctets = Uint8Array.from(attributesElement);
  signedOctets[0] = tags.set;
  return { issuer, serial, digest, algorithm, attributes: readAttributes(signedOctets), signedOctets, signature };
}

function readDigest(identifier: DerReader): SignedData['digest'] {
  const type = readOid(identifier);
  if (!identifier.done) identifier.content(tags.null);
  identifier.finish();
  return ([...digests, 'sha1'] as const).find((name) => oids[name] === type) ?? null;
}

/** RFC 3370 section 3.2: RSA may be named without its digest, which stands beside it. */
function signatureOf(identifier: Uint8Array, digest: SignedData['digest']): SignedData['algorithm'] {
  if (digest === null) return null;
  const named = readAlgorithmIdentifier(identifier);
  if (named !== null) return named.endsWith(digest) ? named : null;
  const type = readOid(DerReader.over(identifier).enter(tags.sequence));
  if (digest === 'sha1') return type === oids.rsaEncryption || type === oids.sha1WithRsa ? 'rsa-pkcs1-sha1' : null;
  return type === oids.rsaEncryption ? `rsa-pkcs1-${digest}` : null;
}

function readAttributes(set: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const reader = DerReader.over(set, cmsLimits).enter(tags.set);
  const attributes = new Map<string, Uint8Array>();
  while (!reader.done) {
    const attribute = reader.enter(tags.sequence);
    const type = readOid(attribute);
    const values = attribute.enter(tags.set);
    attribute.finish();
    if (attributes.has(type)) throw malformed(`attribute ${type} twice`);
    attributes.set(type, values.element());
    values.finish();
  }
  return attributes;
}

/** Whether this key signed exactly this content and these attributes (RFC 5652 section 5.6). SHA-1 proves nothing unless an exception says `sha1`. */
export function verifySignedData(data: SignedData, key: KeyObject, exception: 'none' | 'sha1' = 'none'): boolean {
  const { content, digest, algorithm, attributes, signedOctets, signature } = data;
  const type = attributes.get(oids.contentType);
  const claimed = attributes.get(oids.messageDigest);
  if (digest === null || algorithm === null || type === undefined || claimed === undefined) return false;
  if (digest === 'sha1' && exception !== 'sha1') return false;
  const actual = createHash(digest)
    .update(content ?? new Uint8Array())
    .digest();
  if (!equalOctets(claimed, Buffer.concat([Buffer.of(tags.octetString, actual.length), actual]))) return false;
  if (!equalOctets(type, DATA)) return false;
  if (algorithm !== 'rsa-pkcs1-sha1') return verifySignature(algorithm, key, signedOctets, signature);
  return key.asymmetricKeyType === 'rsa' && verify('sha1', signedOctets, key, signature);
}

/** pkcs7-data as an element. */
const DATA = Uint8Array.from([0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01]);
const MAXIMUM_VERSION = 3;
