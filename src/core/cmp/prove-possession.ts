import type { CertificateRequest } from '../x509/certificate-request.ts';
import { readKnownExtensions } from '../x509/extensions.ts';
import { buildName } from '../x509/name.ts';
import { openPublicKey, sha256Hex } from '../x509/public-key.ts';
import { verifySignature } from '../x509/signature-algorithm.ts';
import { type CertificateRequestMessage, readCertificateRequestMessage } from './certificate-request-message.ts';
import type { PkiFailure } from './pki-status.ts';

/** A request whose sender was shown to hold the private key, or what is wrong with it. */
export type Possession =
  | { readonly kind: 'proved'; readonly csr: CertificateRequest }
  | { readonly kind: 'refused'; readonly failure: PkiFailure; readonly reason: string };

/**
 * Verifies the proof of possession (RFC 4211 section 4.1, RFC 9483 section 4.1.1): a signature over the very request. That somebody else verified it
 * (raVerified) is nobody's word here. @throws der-malformed when an extension that is known here does not have its form
 */
export function provePossession(message: CertificateRequestMessage): Possession {
  const { template, proof } = message;
  const [field] = template.forbidden;
  if (field !== undefined || template.serial !== null) return refused('badCertTemplate', `the template has ${field ?? 'serialNumber'}`);
  if (template.key === null) return refused('badCertTemplate', 'the template has no public key: none is made here');
  if (proof.kind !== 'signature') return refused('badPOP', `the proof of possession is ${proof.kind}`);
  if (proof.hasInput) return refused('badPOP', 'the proof has an input of its own, which is for templates without a key');
  if (proof.algorithm === null) return refused('badAlg', 'the proof is signed by an algorithm that is not taken');
  const { spki, kind } = template.key;
  const publicKey = openPublicKey(spki);
  if (!verifySignature(proof.algorithm, publicKey, message.request, proof.signature))
    return refused('badPOP', 'the proof of possession does not verify');
  const { subjectAltNames } = readKnownExtensions(template.extensions);
  return {
    kind: 'proved',
    csr: {
      form: 'crmf',
      der: message.der,
      spki,
      spkiSha256: sha256Hex(spki),
      publicKey,
      publicKeyKind: kind,
      subject: template.subject ?? buildName([]),
      subjectAltNames,
      extensions: template.extensions,
      challengePassword: null,
      attributeTypes: [],
    },
  };
}

/** Reads a request that was proved once and kept since. @throws der-malformed; RangeError if it proves nothing */
export function readProvedRequest(der: Uint8Array): CertificateRequest {
  const possession = provePossession(readCertificateRequestMessage(der));
  if (possession.kind === 'refused') throw new RangeError(`Cannot read request: ${possession.reason}`);
  return possession.csr;
}

function refused(failure: PkiFailure, reason: string): Possession {
  return { kind: 'refused', failure, reason };
}
