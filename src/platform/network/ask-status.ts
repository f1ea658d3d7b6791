import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { ocspUrisOf } from '../../core/x509/authority-info-access.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import { parseCertificateList } from '../../core/x509/certificate-list.ts';
import { type CertificateStanding, judgeByList, judgeByResponse } from '../../core/x509/judge-status.ts';
import { issuerHashesOf } from '../../core/x509/ocsp-cert-id.ts';
import { buildOcspRequest } from '../../core/x509/ocsp-request.ts';
import type { NameResolver } from './name-resolver.ts';
import type { OutsidePolicy } from './outside-policy.ts';
import { type OutsideMessage, sendOutside } from './send-outside.ts';

type StatusDeps = {
  readonly resolver: NameResolver;
  readonly policy: OutsidePolicy;
  /** A longer list says nothing; the largest of public CAs if not given. */
  readonly longestList?: number;
};
type Subject = { readonly leaf: Certificate; readonly issuer: Certificate };

/**
 * Whether its CA says that the certificate is revoked: by OCSP, else by its list, of the first addresses that the certificate names; null where it
 * names none. Both prove themselves by their signature, so they are asked by plain HTTP.
 */
export async function askStatus(deps: StatusDeps, subject: Subject, now: Instant): Promise<CertificateStanding | null> {
  const { leaf } = subject;
  const [responder] = ocspUrisOf(leaf).filter(isHttp);
  const lists = leaf.crlDistributionPoints.filter(isHttp).slice(0, MAXIMUM_LISTS);
  let last: CertificateStanding | null = null;
  const questions = [
    ...(responder === undefined ? [] : [() => askResponder(deps, subject, responder, now)]),
    ...lists.map((url) => () => askList(deps, subject, url, now)),
  ];
  for (const ask of questions) {
    last = await ask();
    if (last.kind !== 'unknown') return last;
  }
  return last;
}

async function askResponder(deps: StatusDeps, subject: Subject, url: string, now: Instant): Promise<CertificateStanding> {
  const { leaf, issuer } = subject;
  // SHA-1 names the issuer here, and is what every responder knows (RFC 9654 changes nothing of it).
  const body = buildOcspRequest([{ hash: 'sha1', issuer: issuerHashesOf(issuer, 'sha1'), serial: leaf.serial }]);
  return ask(deps, { method: 'POST', url, contentType: 'application/ocsp-request', body }, (der) => judgeByResponse(now, der, subject));
}

function askList(deps: StatusDeps, subject: Subject, url: string, now: Instant): Promise<CertificateStanding> {
  return ask(deps, { method: 'GET', url }, (der) => judgeByList(now, parseCertificateList(der), subject));
}

async function ask(
  deps: StatusDeps,
  message: Pick<OutsideMessage, 'method' | 'url' | 'contentType' | 'body'>,
  judge: (der: Uint8Array) => CertificateStanding,
): Promise<CertificateStanding> {
  const sent = await sendOutside(deps, {
    ...message,
    anchorsPem: null,
    timeoutMs: TIMEOUT_MS,
    maximumOctets: deps.longestList ?? MAXIMUM_OCTETS,
  });
  if (sent.kind === 'failed') return { kind: 'unknown', detail: `${sent.stage}: ${sent.detail}` };
  if (sent.status !== 200) return { kind: 'unknown', detail: `HTTP status ${sent.status}` };
  try {
    return judge(sent.body);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { kind: 'unknown', detail: error.message.slice(0, 200) };
  }
}

function isHttp(url: string): boolean {
  return url.length <= MAXIMUM_URL && URL.canParse(url) && new URL(url).protocol === 'http:';
}

const MAXIMUM_LISTS = 2;
const MAXIMUM_URL = 2_000;
const TIMEOUT_MS = 15_000;
/** The largest lists of public CAs; sharded ones are far smaller. */
const MAXIMUM_OCTETS = 16 * 1024 * 1024;
