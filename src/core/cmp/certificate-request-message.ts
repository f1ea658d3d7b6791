import { contextConstructed, contextPrimitive, DerReader, malformed, readInteger, readOctetAlignedBits, tags } from '../x509/der.ts';
import { DIRECTORY_NAME, readDirectoryName } from '../x509/general-name.ts';
import type { Name } from '../x509/name.ts';
import { readOid } from '../x509/oid.ts';
import { readAlgorithmIdentifier, type SignatureAlgorithm } from '../x509/signature-algorithm.ts';
import { type CertificateTemplate, readCertificateTemplate } from './certificate-template.ts';
import { cmpMessageLimits, MAXIMUM_ITEMS } from './cmp-limits.ts';
import { cmpOids } from './cmp-oids.ts';

/** One CertReqMsg (RFC 4211 section 3), its proof of possession not verified yet. */
export type CertificateRequestMessage = {
  readonly der: Uint8Array;
  /** DER of CertRequest: what a signature is over where the template has subject and key. */
  readonly request: Uint8Array;
  readonly requestId: number;
  readonly template: CertificateTemplate;
  /** Issuer and serial that regCtrl-oldCertID names; null: it is absent. */
  readonly oldCertificate: CertificateId | null;
  readonly proof: ProofOfPossession;
};

/** CertId (RFC 4211 section 6.5); `issuer` null: it is no directory name, so none of ours. `serial`: content octets. */
export type CertificateId = { readonly issuer: Name | null; readonly serial: Uint8Array };

/** RFC 4211 section 4. */
export type ProofOfPossession =
  | { readonly kind: 'none' }
  /** `input`: a POPOSigningKeyInput is there, which is for templates without subject or key. */
  | {
      readonly kind: 'signature';
      readonly algorithm: SignatureAlgorithm | null;
      readonly signature: Uint8Array;
      readonly hasInput: boolean;
    }
  | { readonly kind: 'ra-verified' }
  | { readonly kind: 'encipherment' };

/** Reads the messages of an ir, cr or kur. @throws der-malformed */
export function readCertificateRequestMessages(der: Uint8Array): readonly CertificateRequestMessage[] {
  const outer = DerReader.over(der, cmpMessageLimits);
  const list = outer.enter(tags.sequence);
  outer.finish();
  const found: CertificateRequestMessage[] = [];
  while (!list.done) {
    if (found.length === MAXIMUM_ITEMS) throw malformed(`more than ${MAXIMUM_ITEMS} requests`);
    found.push(readMessage(list));
  }
  return found;
}

/** Reads one that stands alone. @throws der-malformed */
export function readCertificateRequestMessage(der: Uint8Array): CertificateRequestMessage {
  const outer = DerReader.over(der, cmpMessageLimits);
  const message = readMessage(outer);
  outer.finish();
  return message;
}

function readMessage(list: DerReader): CertificateRequestMessage {
  const start = list.rest();
  const message = list.enter(tags.sequence);
  const der = start.subarray(0, start.length - list.rest().length);
  const requestStart = message.rest();
  const body = message.enter(tags.sequence);
  const request = requestStart.subarray(0, requestStart.length - message.rest().length);
  const requestId = readRequestId(body);
  const template = readCertificateTemplate(body);
  const oldCertificate = body.nextTag === tags.sequence ? readControls(body) : null;
  body.finish();
  const proof = readProof(message);
  // regInfo is for what was agreed upon elsewhere.
  if (message.nextTag === tags.sequence) message.element();
  message.finish();
  return { der, request, requestId, template, oldCertificate, proof };
}

/** The id of a request, which its answer repeats: small, and -1 where there is none. @throws der-malformed */
export function readRequestId(reader: DerReader): number {
  const octets = readInteger(reader);
  if (octets.length === 1 && octets[0] === 0xff) return -1;
  if (octets.length > 4 || octets[0]! >= 0x80) throw malformed('a request id that is negative or too large');
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

function readControls(body: DerReader): CertificateId | null {
  const controls = body.enter(tags.sequence);
  let found: CertificateId | null = null;
  for (let count = 0; !controls.done; count++) {
    if (count === MAXIMUM_ITEMS) throw malformed(`more than ${MAXIMUM_ITEMS} controls`);
    const control = controls.enter(tags.sequence);
    const type = readOid(control);
    if (type === cmpOids.oldCertId) {
      found = readCertId(control);
    } else if (!control.done) control.element();
    control.finish();
  }
  return found;
}

function readCertId(control: DerReader): CertificateId {
  const body = control.enter(tags.sequence);
  const isDirectory = body.nextTag === DIRECTORY_NAME;
  const issuer = isDirectory ? readDirectoryName(body) : null;
  if (!isDirectory) body.element();
  const serial = readInteger(body);
  body.finish();
  return { issuer, serial };
}

function readProof(message: DerReader): ProofOfPossession {
  switch (message.nextTag) {
    case contextPrimitive(0):
      message.element();
      return { kind: 'ra-verified' };
    case contextConstructed(1): {
      const body = message.enter(contextConstructed(1));
      const hasInput = body.nextTag === contextConstructed(0);
      if (hasInput) body.element();
      const algorithm = readAlgorithmIdentifier(body.element(tags.sequence));
      const signature = readOctetAlignedBits(body);
      body.finish();
      return { kind: 'signature', algorithm, signature, hasInput };
    }
    case contextConstructed(2):
    case contextConstructed(3):
      message.element();
      return { kind: 'encipherment' };
    default:
      return { kind: 'none' };
  }
}
