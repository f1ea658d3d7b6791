import type { Instant } from '../../core/time/instant.ts';
import { isReservedSpiffeId } from '../../core/identity/spiffe-id.ts';
import { profileForJoin } from '../../core/issuance/profile.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { JsonValue } from '../audit/entry.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import { type CertificateKey, findCertificate } from './certificate-store.ts';
import { issueCertificate } from './issue-certificate.ts';
import type { IssuedCertificate } from './issuance-request.ts';

/** The certificate that the asker proved possession of, and the key that takes its place. */
export type RenewalRequest = {
  readonly predecessor: CertificateKey;
  readonly csr: CertificateRequest;
  readonly note?: { readonly [name: string]: JsonValue };
};

/**
 * A new certificate for the data plane that holds `predecessor`: the same identity, names, environment and proxy id, whatever the request says.
 * @throws not-found; issuance-refused if the predecessor is revoked, expired or no data plane's, or the identity is suspended
 */
export async function renewCertificate(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: RenewalRequest,
  now: Instant,
): Promise<IssuedCertificate> {
  const { predecessor, csr, note } = request;
  const held = await findCertificate(deps.database.queries, predecessor.issuerKeySha256, predecessor.serial);
  if (held === null || held.spiffeId === null)
    throw new Problem('not-found', 'Cannot renew certificate: no such certificate of a workload');
  const { spiffeId, names, proxyId, environment, region } = held;
  const role = isReservedSpiffeId(spiffeId) ? 'scanner' : 'data-plane';
  return issueCertificate(
    deps,
    {
      door: 'renewal',
      profile: profileForJoin(role),
      asker: { role, scope: [environment], spiffeId },
      actor: { kind: 'machine', name: spiffeId },
      csr,
      spiffeId,
      names,
      proxyId,
      environment,
      region,
      predecessor,
      ...(note === undefined ? {} : { note }),
    },
    now,
  );
}
