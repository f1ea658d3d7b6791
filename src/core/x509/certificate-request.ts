import { type KeyObject, createPublicKey, sign } from 'node:crypto';
import { type DnsName, parseDnsPattern } from '../identity/dns-name.ts';
import { type IpAddress, parseIpAddress } from '../identity/ip-address.ts';
import { Problem } from '../problems/problem.ts';
import { subjectAltNameExtension } from './build-certificate.ts';
import { contextConstructed, type DerLimits, DerReader, malformed, readOctetAlignedBits, readSmallInteger, tags } from './der.ts';
import { bitString, constructed, encodeDer, oid, raw, sequence, smallInteger, utf8String } from './der-writer.ts';
import { type Extension, readExtensions, readKnownExtensions } from './extensions.ts';
import { noNames, type SubjectAltNames } from './general-name.ts';
import { buildName, decodeText, isEmptyName, type Name, readName } from './name.ts';
import { oids, readOid } from './oid.ts';
import { openPublicKey, type PublicKeyKind, readSubjectPublicKey, sha256Hex } from './public-key.ts';
import {
  algorithmIdentifier,
  readAlgorithmIdentifier,
  signatureAlgorithmFor,
  signatureParameters,
  verifySignature,
} from './signature-algorithm.ts';

/** A request whose signature by its own key has been verified: the asker holds the private key. What it asks for is only asked for. */
export type CertificateRequest = {
  /** Absent: PKCS#10. `crmf`: a CertReqMsg (RFC 4211). */
  readonly form?: 'crmf';
  readonly der: Uint8Array;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** SHA-256 over `spki`, lower case hex. */
  readonly spkiSha256: string;
  readonly publicKey: KeyObject;
  readonly publicKeyKind: PublicKeyKind;
  readonly subject: Name;
  readonly subjectAltNames: SubjectAltNames;
  /** All requested extensions, the names among them. */
  readonly extensions: readonly Extension[];
  /** The text of a challengePassword (RFC 2985 section 5.4.1); null: it has none. */
  readonly challengePassword: string | null;
  /** Dotted identifiers of its attributes. */
  readonly attributeTypes: readonly string[];
};

/**
 * Parses a request (RFC 2986) and verifies its proof of possession.
 * @throws csr-malformed when it is no strict DER of at most 64 KiB, its key is unusable, or the signature is wrong
 */
export function parseCertificateRequest(der: Uint8Array): CertificateRequest {
  try {
    return readRequest(der);
  } catch (cause) {
    if (cause instanceof Problem && cause.code === 'der-malformed') {
      throw new Problem('csr-malformed', cause.message.replace('Cannot parse DER', 'Cannot parse CSR'), { cause });
    }
    throw cause;
  }
}

function readRequest(der: Uint8Array): CertificateRequest {
  const reader = DerReader.over(der, requestLimits);
  const body = reader.enter(tags.sequence);
  reader.finish();
  const start = body.rest();
  const info = body.enter(tags.sequence);
  const signed = start.subarray(0, start.length - body.rest().length);
  if (readSmallInteger(info) !== 0) throw malformed('version of the request is not 1');
  const subject = readName(info);
  const key = readSubjectPublicKey(info);
  const { extensions, ...attributes } = readAttributes(info);
  info.finish();
  const algorithm = readAlgorithmIdentifier(body.element(tags.sequence));
  const signature = readOctetAlignedBits(body);
  body.finish();
  if (key.kind.kind === 'unknown') throw malformed(`public key of algorithm ${key.kind.algorithm}`);
  // A modulus of absurd size would make the verification itself the attack.
  if (key.kind.kind === 'rsa' && (key.kind.bits > MAX_RSA_BITS || key.kind.exponent > MAX_RSA_EXPONENT))
    throw malformed('RSA key too large');
  if (!algorithm) throw malformed('unknown signature algorithm');
  const publicKey = openPublicKey(key.der);
  if (!verifySignature(algorithm, publicKey, signed, signature)) throw malformed('the self-signature does not verify');
  const { subjectAltNames } = readKnownExtensions(extensions, requestLimits);
  const { der: spki, kind: publicKeyKind } = key;
  return { der, spki, spkiSha256: sha256Hex(spki), publicKey, publicKeyKind, subject, subjectAltNames, extensions, ...attributes };
}

type RequestAttributes = Pick<CertificateRequest, 'extensions' | 'challengePassword' | 'attributeTypes'>;

/** `[0] IMPLICIT SET OF Attribute`; of them extensionRequest and challengePassword are read (RFC 2985 section 5.4). */
function readAttributes(info: DerReader): RequestAttributes {
  // RFC 2986 demands the field; some clients leave it out when it would be empty.
  const set = info.enterOptional(contextConstructed(0));
  let extensions: readonly Extension[] | null = null;
  let challengePassword: string | null = null;
  const attributeTypes: string[] = [];
  if (!set) return { extensions: [], challengePassword, attributeTypes };
  while (!set.done) {
    const attribute = set.enter(tags.sequence);
    const type = readOid(attribute);
    const values = attribute.enter(tags.set);
    attribute.finish();
    attributeTypes.push(type);
    if (type === oids.extensionRequest) {
      if (extensions) throw malformed('extension request twice');
      extensions = readExtensions(values.enter(tags.sequence));
    } else if (type === oids.challengePassword) {
      if (challengePassword !== null) throw malformed('challenge password twice');
      challengePassword = readString(values);
    } else continue;
    values.finish();
  }
  return { extensions: extensions ?? [], challengePassword, attributeTypes };
}

function readString(values: DerReader): string {
  const tag = values.nextTag;
  const text = tag < 0 ? null : decodeText(values, tag, values.content(tag));
  if (text === null) throw malformed('challenge password is no string');
  return text;
}

/** What to ask for; a common name, if any, must repeat one of the names. */
export type RequestFields = {
  readonly subjectCommonName?: string;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly challengePassword?: string;
};

/** Makes a request of these names, signed by the private key. @throws identity-malformed when a DNS name or an address is none */
export function buildCertificateRequest(fields: RequestFields, privateKey: KeyObject): Uint8Array {
  const names = requestedNames(fields);
  const subject = buildName(fields.subjectCommonName === undefined ? [] : [[oids.commonName, fields.subjectCommonName]]);
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const san = names ? [subjectAltNameExtension(names, isEmptyName(subject))] : [];
  const password = fields.challengePassword;
  // In the order that DER wants a set in: the shorter identifier's last octet is the smaller one.
  const attributes = [
    ...(password === undefined ? [] : [sequence(oid(oids.challengePassword), constructed(tags.set, [utf8String(password)]))]),
    ...(san.length === 0 ? [] : [sequence(oid(oids.extensionRequest), constructed(tags.set, [sequence(...san)]))]),
  ];
  const info = encodeDer(sequence(smallInteger(0), raw(subject.der), raw(spki), constructed(contextConstructed(0), attributes)));
  const algorithm = signatureAlgorithmFor(privateKey);
  const { hash, options } = signatureParameters(algorithm);
  const signature = sign(hash, info, { key: privateKey, ...options });
  return encodeDer(sequence(raw(info), raw(algorithmIdentifier(algorithm)), bitString(signature)));
}

function requestedNames({ uris = [], dnsNames = [], ipAddresses = [] }: RequestFields): SubjectAltNames | null {
  const dns: readonly (DnsName | `*.${DnsName}`)[] = dnsNames.map(parseDnsPattern);
  const ip: readonly IpAddress[] = ipAddresses.map(parseIpAddress);
  return uris.length + dns.length + ip.length === 0 ? null : { ...noNames, uri: uris, dns, ip };
}

const requestLimits: DerLimits = { maxOctets: 65_536, maxDepth: 16, maxElements: 4_000 };
const MAX_RSA_BITS = 8_192;
const MAX_RSA_EXPONENT = 2 ** 32;
