import { actorOf, type Principal } from '../../control/access/principal.ts';
import { grantedAsker } from '../../control/ca/asker-of.ts';
import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import { renewByCertificate } from '../../control/ca/renew-by-certificate.ts';
import { requestOrCollect } from '../../control/ca/request-or-collect.ts';
import { requestedNames, sameNames } from '../../core/issuance/requested-names.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { certificatesAnswer, type EstAnswer } from './answer.ts';
import type { EstCall } from './call.ts';
import { checkBinding } from './channel-binding.ts';
import type { EstDeps } from './deps.ts';
import type { EstTarget } from './label.ts';
import { textAnswer } from './problems.ts';
import { readCsr } from './read-csr.ts';

/** A certificate for the holder of a token, through the one door; 202 where its profile wants persons to approve first (RFC 7030 section 4.2.3). */
export async function enrol(deps: EstDeps, call: EstCall, principal: Principal, now: Instant): Promise<EstAnswer> {
  const csr = await readBoundCsr(deps, call);
  const requested = await requestOrCollect(deps, orderOf(deps, call.target, { csr, principal }, now), principal.tokenId, now);
  return requested.kind === 'issued' ? certificatesAnswer([requested.der]) : waitingAnswer(deps);
}

/**
 * A successor for the certificate that the client holds and the handshake proved (RFC 7030 section 4.2.2): the CSR has to ask for exactly its names. Its subject
 * is empty, so that one in the CSR says nothing but what its common name repeats of them.
 */
export async function reEnrol(deps: EstDeps, call: EstCall, now: Instant): Promise<EstAnswer> {
  const { target } = call;
  const chain = call.peerChain();
  const refused = (reason: string, detail: string): void => deps.log('warn', 'est.refused', { label: target.label, reason, detail });
  // Before the body is read: a stranger's octets are not worth parsing.
  if (chain[0] === undefined) {
    refused('certificate-required', '');
    throw new Problem('unauthenticated', 'Cannot renew certificate: expected the client certificate that is to be renewed');
  }
  const csr = await readBoundCsr(deps, call);
  const only = { environment: target.environment, profile: target.profile.name };
  if (!sameNames(requestedNames(csr), requestedNames(parseCertificate(chain[0])))) {
    refused('other-names', '');
    throw new Problem('forbidden', 'Cannot renew certificate: the CSR does not ask for exactly its names (RFC 7030 section 4.2.2)');
  }
  const { der } = await renewByCertificate({ ...deps, refused }, { chain, csr, only, note: noteOf(target) }, now);
  return certificatesAnswer([der]);
}

export async function readBoundCsr(deps: EstDeps, call: EstCall): Promise<CertificateRequest> {
  const csr = await readCsr(call);
  checkBinding(csr, { binding: call.binding(), isDemanded: deps.bound.has('*') || deps.bound.has(call.target.label) });
  return csr;
}

/** The request as the one door takes it. */
export function orderOf(
  deps: EstDeps,
  target: EstTarget,
  { csr, principal }: { readonly csr: CertificateRequest; readonly principal: Principal },
  now: Instant,
): IssuanceRequest {
  const { environment, profile } = target;
  const { spiffeId, names } = requestedNames(csr);
  const wanted = { door: 'est', profile: profile.name, environment, spiffeId, dnsNames: names.dns, ipAddresses: names.ip } as const;
  const { note, ...asked } = grantedAsker(principal, wanted, csr.spkiSha256, now);
  return {
    door: 'est',
    ...asked,
    actor: actorOf(principal),
    profile: profile.name,
    csr,
    spiffeId,
    names,
    proxyId: null,
    environment,
    region: deps.place.region,
    note: { ...note, ...noteOf(target) },
  };
}

function noteOf({ label }: EstTarget) {
  return { est: label === '' ? '-' : label };
}

function waitingAnswer({ retryAfterMs }: EstDeps): EstAnswer {
  return textAnswer(202, 'The request waits for approval', { 'retry-after': String(retryAfterMs / SECOND_MS) });
}
