import type { KeyObject } from 'node:crypto';
import type { Instant } from '../time/instant.ts';
import {
  type DerLimits,
  certificateLimits,
  contextConstructed,
  contextPrimitive,
  DerReader,
  equalOctets,
  hexOf,
  malformed,
  readInteger,
  readOctetAlignedBits,
  readSmallInteger,
  tags,
} from './der.ts';
import { type Extension, type KnownExtensions, readExtensions, readKnownExtensions } from './extensions.ts';
import { type Name, readName } from './name.ts';
import { oids } from './oid.ts';
import { openPublicKey, type PublicKeyKind, readSubjectPublicKey, sha256Hex } from './public-key.ts';
import { readAlgorithmIdentifier, type SignatureAlgorithm } from './signature-algorithm.ts';
import { readTime } from './x509-time.ts';

/** The signed part of a certificate (RFC 5280 section 4.1.2). */
export type TbsCertificate = KnownExtensions & {
  /** The DER of TBSCertificate, exactly the octets that are signed. */
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content octets of the serial INTEGER, sign octet included. */
  readonly serial: Uint8Array;
  /** The same octets, lower case hex. */
  readonly serialHex: string;
  readonly issuer: Name;
  readonly subject: Name;
  /** Both ends of the validity belong to it. */
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** SHA-256 over `spki`, lower case hex. */
  readonly spkiSha256: string;
  readonly publicKey: PublicKeyKind;
  /** subjectPublicKey without its wrapping. */
  readonly keyOctets: Uint8Array;
  /** The AlgorithmIdentifier inside the signed part. */
  readonly signatureAlgorithmDer: Uint8Array;
  /** Null: not one of ours. */
  readonly signatureAlgorithm: SignatureAlgorithm | null;
  readonly extensions: readonly Extension[];
  /** Identifiers of critical extensions that the path validation here does not process. */
  readonly unknownCritical: readonly string[];
};

/** A certificate as its octets say, views of `der`; nothing about it is verified. */
export type Certificate = TbsCertificate & { readonly der: Uint8Array; readonly signature: Uint8Array };

/**
 * Parses a DER certificate strictly: both algorithm identifiers octet-equal, each extension once, known extensions well formed.
 * @throws der-malformed
 */
export function parseCertificate(der: Uint8Array, limits: DerLimits = certificateLimits): Certificate {
  const reader = DerReader.over(der, limits);
  const outer = reader.rest();
  const body = reader.enter(tags.sequence);
  reader.finish();
  const fields = readTbs(body, limits);
  const algorithm = body.element(tags.sequence);
  const signature = readOctetAlignedBits(body);
  body.finish();
  // RFC 5280 section 4.1.1.2: the same identifier; otherwise an unsigned field would choose how to verify.
  if (!equalOctets(algorithm, fields.signatureAlgorithmDer)) reader.complain('signature algorithm inside and outside differ');
  return { ...fields, der: outer, signature };
}

/** Parses a TBSCertificate that stands alone, as before signing. @throws der-malformed */
export function parseTbsCertificate(tbs: Uint8Array, limits: DerLimits = certificateLimits): TbsCertificate {
  const reader = DerReader.over(tbs, limits);
  const fields = readTbs(reader, limits);
  reader.finish();
  return fields;
}

function readTbs(parent: DerReader, limits: DerLimits): TbsCertificate {
  const start = parent.rest();
  const body = parent.enter(tags.sequence);
  const tbs = start.subarray(0, start.length - parent.rest().length);
  const version = readVersion(body);
  const serial = readInteger(body);
  const signatureAlgorithmDer = body.element(tags.sequence);
  const issuer = readName(body);
  const validity = body.enter(tags.sequence);
  const notBefore = readTime(validity);
  const notAfter = readTime(validity);
  validity.finish();
  const subject = readName(body);
  const key = readSubjectPublicKey(body);
  const extensions = readTail(body, version);
  const known = readKnownExtensions(extensions, limits);
  return {
    tbs,
    version,
    serial,
    serialHex: hexOf(serial),
    issuer,
    subject,
    notBefore,
    notAfter,
    spki: key.der,
    spkiSha256: sha256Hex(key.der),
    publicKey: key.kind,
    keyOctets: key.keyOctets,
    signatureAlgorithmDer,
    signatureAlgorithm: readAlgorithmIdentifier(signatureAlgorithmDer),
    extensions,
    unknownCritical: extensions.filter(({ oid, critical }) => critical && !processed.has(oid)).map(({ oid }) => oid),
    ...known,
  };
}

function readVersion(body: DerReader): 1 | 2 | 3 {
  const wrapped = body.enterOptional(contextConstructed(0));
  if (!wrapped) return 1;
  const version = readSmallInteger(wrapped);
  wrapped.finish();
  // v1 is the default and so never written (X.690 section 11.5).
  if (version !== 1 && version !== 2) throw malformed(`version ${version + 1}`);
  return version === 1 ? 2 : 3;
}

/** Unique identifiers need version 2, extensions version 3 (RFC 5280 section 4.1.2.1). */
function readTail(body: DerReader, version: 1 | 2 | 3): Extension[] {
  for (const number of [1, 2]) {
    if (body.contentOptional(contextPrimitive(number)) && version === 1) body.complain('unique identifier in version 1');
  }
  const wrapped = body.enterOptional(contextConstructed(3));
  body.finish();
  if (!wrapped) return [];
  if (version !== 3) body.complain(`extensions in version ${version}`);
  const extensions = readExtensions(wrapped.enter(tags.sequence));
  wrapped.finish();
  return extensions;
}

/** The certificate's public key, opened once. @throws der-malformed */
export function certificateKey(certificate: TbsCertificate): KeyObject {
  const kept = keys.get(certificate);
  if (kept) return kept;
  const key = openPublicKey(certificate.spki);
  keys.set(certificate, key);
  return key;
}

/** The extension with this identifier, or null. */
export function findExtension(certificate: TbsCertificate, oid: string): Extension | null {
  return certificate.extensions.find((extension) => extension.oid === oid) ?? null;
}

const keys = new WeakMap<TbsCertificate, KeyObject>();

/** Extensions that path validation acts upon, so that they may be critical. */
const processed: ReadonlySet<string> = new Set([
  oids.basicConstraints,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectAltName,
  oids.nameConstraints,
  oids.certificatePolicies,
  oids.policyMappings,
  oids.policyConstraints,
  oids.inhibitAnyPolicy,
]);
