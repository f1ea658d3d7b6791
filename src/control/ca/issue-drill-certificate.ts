import { parseSpiffeId, probeSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { DrillKind } from '../../core/findings/drill-kind.ts';
import type { DrillFlaw } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import { issueCertificate } from './issue-certificate.ts';
import type { IssuedCertificate } from './issuance-request.ts';

/** What the prober, whose identity its door has proved, asks for. */
export type DrillRequest = {
  readonly jobId: string;
  readonly kind: DrillKind;
  readonly csr: CertificateRequest;
  readonly environment: string;
  readonly region: string;
};

/** Which flaw, and whose name, the credential of a drill has; the drills that are not here need no credential of ours. */
const credentials: { readonly [K in DrillKind]?: { readonly flaw: DrillFlaw | null; readonly holder: 'probe' | 'stranger' } } = {
  expired: { flaw: 'expired', holder: 'probe' },
  'not-yet-valid': { flaw: 'not-yet-valid', holder: 'probe' },
  'wrong-usage': { flaw: 'wrong-usage', holder: 'probe' },
  'wrong-identity': { flaw: null, holder: 'stranger' },
  revoked: { flaw: null, holder: 'probe' },
  'revoked-then-resumed': { flaw: null, holder: 'probe' },
};

/**
 * Signs a credential that must be refused wherever it is shown, by the real issuing authority and through the one door, logged as a drill.
 * It differs from the prober's own in one property, and belongs to no data plane.
 * @throws input-invalid if the drill needs no credential of ours; issuance-refused
 */
export async function issueDrillCertificate(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: DrillRequest,
  now: Instant,
): Promise<IssuedCertificate> {
  const { jobId, kind, csr, environment, region } = request;
  const credential = credentials[kind];
  if (credential === undefined) throw new Problem('input-invalid', `Cannot issue drill certificate: ${kind} needs none of ours`);
  const { trustDomain } = deps.authorities;
  const probe = probeSpiffeId(trustDomain, environment);
  return issueCertificate(
    deps,
    {
      door: 'drill',
      profile: 'drill',
      asker: { role: 'scanner', scope: [environment], spiffeId: probe },
      actor: { kind: 'machine', name: probe },
      csr,
      spiffeId: credential.holder === 'probe' ? probe : strangerSpiffeId(trustDomain, environment),
      names: { dns: [], ip: [] },
      proxyId: null,
      environment,
      region,
      ...(credential.flaw === null ? {} : { flaw: credential.flaw }),
      note: { drill: { jobId, kind } },
    },
    now,
  );
}

/** A reserved name that no rule admits and no workload can hold. */
export function strangerSpiffeId(trustDomain: TrustDomain, environment: string): SpiffeId {
  return parseSpiffeId(`spiffe://${trustDomain}/${environment}/countersign/stranger`);
}
