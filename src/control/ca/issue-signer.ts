import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { buildName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import type { IssuedCertificate } from './issuance-request.ts';
import { issueCertificate } from './issue-certificate.ts';

/**
 * A certificate by which the control plane signs for an authority in a protocol, with a key that is made here, never stored, and new each time: every process has its own, and the
 * authority's key never meets what comes from outside. @throws issuance-refused
 */
export async function issueSigner(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  {
    authority,
    profile,
    protocol,
  }: { readonly authority: IssuingAuthority; readonly profile: ProfileName; readonly protocol: 'cmp' | 'ocsp' },
  now: Instant,
): Promise<{ readonly issued: IssuedCertificate; readonly privateKey: KeyObject }> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = parseCertificateRequest(buildCertificateRequest({}, privateKey));
  const { id: issuerId, environment, region } = authority;
  const issued = await issueCertificate(
    deps,
    {
      door: 'control-plane',
      profile,
      asker: { role: 'control-plane', scope: '*', spiffeId: null },
      actor: { kind: 'system', name: protocol },
      csr,
      spiffeId: null,
      names: { dns: [], ip: [] },
      proxyId: null,
      environment,
      region,
      issuerId,
      distinguishedName: buildName([[oids.commonName, `Countersign ${protocol.toUpperCase()} ${csr.spkiSha256.slice(0, 12)}`]]),
    },
    now,
  );
  return { issued, privateKey };
}
