import type { Instant } from '../../core/time/instant.ts';
import type { Asker } from '../../core/issuance/issuance-order.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Actor, AuditedDatabase, JsonValue } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import { type CertificateKey, type CertificateRecord, findCertificate, foreignDoors } from './certificate-store.ts';
import { issueCertificate } from './issue-certificate.ts';
import type { IssuanceRequest, IssuedCertificate } from './issuance-request.ts';

/** What is renewed, for which new key, and who asks: its holder, who proved that over mutual TLS, or the holder of a token. */
export type RenewalRequest = {
  readonly predecessor: CertificateKey;
  readonly csr: CertificateRequest;
  readonly by: { readonly kind: 'holder' } | { readonly kind: 'token'; readonly asker: Asker; readonly actor: Actor };
  readonly note?: { readonly [name: string]: JsonValue };
};

/**
 * A new certificate in the place of `predecessor`: the same identity, names, environment and proxy id, whatever the request says.
 * @throws not-found; issuance-refused if the predecessor is revoked or expired, the identity suspended, or the asker may not have it
 */
export async function renewCertificate(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: RenewalRequest,
  now: Instant,
): Promise<IssuedCertificate> {
  return issueCertificate(deps, await renewalOf(deps.database.queries, request), now);
}

/** What a renewal asks the one door for. @throws not-found */
export async function renewalOf(queries: Queries, request: RenewalRequest): Promise<IssuanceRequest> {
  const { predecessor, csr, note } = request;
  const held = await findCertificate(queries, predecessor.issuerKeySha256, predecessor.serial);
  if (held === null) throw new Problem('not-found', 'Cannot renew certificate: no such certificate');
  // Whoever may ask another CA for a name may not thereby have it of ours.
  if (foreignDoors.includes(held.door))
    throw new Problem('state-conflict', 'Cannot renew certificate: it is of another CA, expected one of ours');
  const { spiffeId, names, proxyId, environment, region } = held;
  return {
    ...doorOf(request, held),
    csr,
    spiffeId,
    names,
    proxyId,
    environment,
    region,
    predecessor,
    ...(note === undefined ? {} : { note }),
  };
}

function doorOf(
  { by }: RenewalRequest,
  { profile, spiffeId, environment, proxyId, serial }: CertificateRecord,
): Pick<IssuanceRequest, 'door' | 'profile' | 'asker' | 'actor'> {
  if (by.kind === 'token') return { door: 'rest', profile, asker: by.asker, actor: by.actor };
  const role = profile === 'probe' ? 'scanner' : proxyId === null ? 'holder' : 'data-plane';
  return {
    door: 'renewal',
    profile,
    asker: { role, scope: [environment], spiffeId },
    actor: { kind: 'machine', name: spiffeId ?? `holder of ${Buffer.from(serial).toString('hex')}` },
  };
}
