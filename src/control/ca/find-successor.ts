import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import { findCertificateOfKey } from './certificate-of-key.ts';
import type { CertificateRecord } from './certificate-store.ts';
import type { IssuedCertificate } from './issuance-request.ts';

/**
 * What a renewal of this certificate for this key has come to already: a later certificate of the key, with the same names under the same profile, that stands.
 * Null: nothing yet. A request that anybody can send again has one answer by it, and not a certificate each time.
 */
export async function findSuccessor(
  { database, authorities }: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  { predecessor, csr }: { readonly predecessor: CertificateRecord; readonly csr: CertificateRequest },
  now: Instant,
): Promise<IssuedCertificate | null> {
  const held = await findCertificateOfKey(database.queries, csr.spkiSha256, predecessor.profile);
  const isLater = held?.der != null && held.revokedAt === null && held.notAfter > now && held.reservedAt >= predecessor.reservedAt;
  if (
    !isLater ||
    Buffer.from(held.serial).equals(predecessor.serial) ||
    held.environment !== predecessor.environment ||
    namesOf(held) !== namesOf(predecessor)
  )
    return null;
  const { issuerId, issuerKeySha256, serial, spiffeId, proxyId, notBefore, notAfter } = held;
  const issuer = authorities.issuing.find(({ keySha256 }) => keySha256 === issuerKeySha256);
  const der = held.der!;
  const serialHex = Buffer.from(serial).toString('hex');
  return {
    issuerId,
    issuerKeySha256,
    serial,
    serialHex,
    spiffeId,
    proxyId,
    der,
    chain: [der, ...(issuer?.chain ?? [])],
    notBefore,
    notAfter,
  };
}

function namesOf({ spiffeId, names }: CertificateRecord): string {
  return JSON.stringify([spiffeId, names.dns.toSorted(), names.ip.toSorted()]);
}
