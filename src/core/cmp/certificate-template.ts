import type { Instant } from '../time/instant.ts';
import { contextConstructed, contextPrimitive, type DerReader, malformed, readInteger, readOctetAlignedBits, tags } from '../x509/der.ts';
import { type DerNode, constructed, encodeDer, raw, sequence } from '../x509/der-writer.ts';
import { type Extension, readExtensions } from '../x509/extensions.ts';
import { type Name, readName } from '../x509/name.ts';
import { openPublicKey, type PublicKeyKind, parseSubjectPublicKey } from '../x509/public-key.ts';
import { readTime } from '../x509/x509-time.ts';

/** CertTemplate (RFC 4211 section 5): what a certificate shall hold, or which one is meant. What is absent is null. */
export type CertificateTemplate = {
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array | null;
  readonly issuer: Name | null;
  readonly notBefore: Instant | null;
  readonly notAfter: Instant | null;
  readonly subject: Name | null;
  readonly key: TemplateKey | null;
  readonly extensions: readonly Extension[];
  /** Fields that a request must leave to the CA (RFC 4211 section 5): signingAlg, issuerUID, subjectUID. */
  readonly forbidden: readonly string[];
};

export type TemplateKey = { readonly spki: Uint8Array; readonly kind: PublicKeyKind };

/** @throws der-malformed */
export function readCertificateTemplate(reader: DerReader): CertificateTemplate {
  const body = reader.enter(tags.sequence);
  const version = body.contentOptional(contextPrimitive(0));
  // v3 is 2; nothing else could carry what is asked for.
  if (version !== null && (version.length !== 1 || version[0] !== 2)) throw malformed('a template of another version than 3');
  const serial = body.nextTag === contextPrimitive(1) ? readInteger(body, contextPrimitive(1)) : null;
  const forbidden: string[] = [];
  const skip = (tag: number, name: string): void => {
    if (body.nextTag !== tag) return;
    body.element();
    forbidden.push(name);
  };
  skip(contextConstructed(2), 'signingAlg');
  const issuer = readWrappedName(body, 3);
  const validity = body.enterOptional(contextConstructed(4));
  const notBefore = validity === null ? null : readWrappedTime(validity, 0);
  const notAfter = validity === null ? null : readWrappedTime(validity, 1);
  validity?.finish();
  const subject = readWrappedName(body, 5);
  const key = readKey(body);
  skip(contextPrimitive(7), 'issuerUID');
  skip(contextPrimitive(8), 'subjectUID');
  const list = body.enterOptional(contextConstructed(9));
  const extensions = list === null || list.done ? [] : readExtensions(list);
  body.finish();
  return { serial, issuer, notBefore, notAfter, subject, key, extensions, forbidden };
}

/** `[n] Name`: explicit, as Name is a CHOICE, though the module is implicit. */
function readWrappedName(body: DerReader, number: number): Name | null {
  const wrapped = body.enterOptional(contextConstructed(number));
  if (wrapped === null) return null;
  const name = readName(wrapped);
  wrapped.finish();
  return name;
}

function readWrappedTime(validity: DerReader, number: number): Instant | null {
  const wrapped = validity.enterOptional(contextConstructed(number));
  if (wrapped === null) return null;
  const instant = readTime(wrapped);
  wrapped.finish();
  return instant;
}

/** `[6] IMPLICIT SubjectPublicKeyInfo`; null also where it has an algorithm and no key, by which the CA is asked to make one. */
function readKey(body: DerReader): TemplateKey | null {
  const wrapped = body.enterOptional(contextConstructed(6));
  if (wrapped === null) return null;
  const octets = wrapped.rest();
  wrapped.element(tags.sequence);
  if (readOctetAlignedBits(wrapped).length === 0) return null;
  wrapped.finish();
  const { der, kind } = parseSubjectPublicKey(encodeDer(sequence(raw(octets))));
  // A modulus of absurd size would make the verification itself the attack.
  if (kind.kind === 'rsa' && (kind.bits > MAXIMUM_RSA_BITS || kind.exponent > MAXIMUM_RSA_EXPONENT)) throw malformed('RSA key too large');
  if (kind.kind === 'unknown') throw malformed(`public key of algorithm ${kind.algorithm}`);
  openPublicKey(der);
  return { spki: der, kind };
}

/** A template that says which certificate is meant, or which names one shall have; its key is the one of a fixed algorithm or left open. */
export function certificateTemplateNode(fields: { readonly subject?: Name; readonly extensions?: readonly DerNode[] }): DerNode {
  return sequence(
    ...(fields.subject === undefined ? [] : [constructed(contextConstructed(5), [raw(fields.subject.der)])]),
    ...(fields.extensions === undefined ? [] : [constructed(contextConstructed(9), fields.extensions)]),
  );
}

const MAXIMUM_RSA_BITS = 8_192;
const MAXIMUM_RSA_EXPONENT = 2 ** 32;
