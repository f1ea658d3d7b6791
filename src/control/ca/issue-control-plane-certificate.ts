import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { controlPlaneSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import type { CertificateNames } from './certificate-store.ts';
import { issueCertificate } from './issue-certificate.ts';
import type { IssuedCertificate } from './issuance-request.ts';

/** Where the control plane listens, so that browsers and tools that know no SPIFFE can check it too. */
export type ControlPlaneOrder = { readonly environment: string; readonly region: string; readonly names: CertificateNames };

/** The control plane's own certificate, for a key that is made here, never stored, and new each time. @throws issuance-refused */
export async function issueControlPlaneCertificate(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  { environment, region, names }: ControlPlaneOrder,
  now: Instant,
): Promise<{ readonly certificate: IssuedCertificate; readonly privateKey: KeyObject }> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spiffeId = controlPlaneSpiffeId(deps.authorities.trustDomain, environment);
  const certificate = await issueCertificate(
    deps,
    {
      door: 'control-plane',
      profile: 'control-plane',
      asker: { role: 'control-plane', scope: '*', spiffeId },
      actor: { kind: 'system', name: 'control-plane' },
      csr: parseCertificateRequest(buildCertificateRequest({}, privateKey)),
      spiffeId,
      names,
      proxyId: null,
      environment,
      region,
    },
    now,
  );
  return { certificate, privateKey };
}
