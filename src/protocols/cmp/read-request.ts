import type { BodyKind, PkiMessage } from '../../core/cmp/pki-message.ts';
import { type CertificateId, readCertificateRequestMessages } from '../../core/cmp/certificate-request-message.ts';
import { provePossession } from '../../core/cmp/prove-possession.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { isEmptyName, type Name } from '../../core/x509/name.ts';
import { CmpProblem } from './problems.ts';

/** A request for a certificate, its proof of possession verified. */
export type CertificateAsked = {
  readonly csr: CertificateRequest;
  /** Number of the request, which its answer repeats; -1 of a PKCS#10, which has none. */
  readonly requestNumber: number;
  readonly answer: 'ip' | 'cp' | 'kup';
  /** Until when it shall last; null: nothing is said. */
  readonly notAfter: Instant | null;
  /** The CA that shall sign; null: whoever does. */
  readonly issuer: Name | null;
  readonly oldCertificate: CertificateId | null;
};

/** The bodies that ask for a certificate, with those that answer them. */
export const certificateAnswers = { ir: 'ip', cr: 'cp', p10cr: 'cp', kur: 'kup' } as const satisfies {
  readonly [K in BodyKind]?: BodyKind;
};
export type AskingKind = keyof typeof certificateAnswers;

/** Reads and verifies what is asked for. @throws CmpProblem, csr-malformed, der-malformed */
export function readAsked(kind: AskingKind, { body }: PkiMessage): CertificateAsked {
  const answer = certificateAnswers[kind];
  if (kind === 'p10cr') {
    return { csr: parseCertificateRequest(body), requestNumber: -1, answer, notAfter: null, issuer: null, oldCertificate: null };
  }
  const [message, ...others] = readCertificateRequestMessages(body);
  // RFC 9483 section 4.1: one request a message.
  if (message === undefined || others.length > 0)
    throw new CmpProblem(
      'badRequest',
      `Cannot read request: ${others.length + (message === undefined ? 0 : 1)} requests in a message, expected one`,
    );
  const possession = provePossession(message);
  if (possession.kind === 'refused') throw new CmpProblem(possession.failure, `Cannot read request: ${possession.reason}`);
  const { template, requestId: requestNumber, oldCertificate } = message;
  const issuer = template.issuer === null || isEmptyName(template.issuer) ? null : template.issuer;
  return { csr: possession.csr, requestNumber, answer, notAfter: template.notAfter, issuer, oldCertificate };
}
