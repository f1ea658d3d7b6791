import { createHash } from 'node:crypto';
import type { CertificateTemplate } from '../../core/issuance/issuance-order.ts';
import type { Instant } from '../../core/time/instant.ts';
import { assembleCertificate } from '../../core/x509/build-certificate.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { type Authorities, currentIssuer, type IssuingAuthority } from './authorities.ts';
import type { Reservation } from './certificate-store.ts';
import { crlShardOf } from './crl-path.ts';
import { IssuanceRefused } from './issuance-refused.ts';
import type { IssuanceRequest, IssuedCertificate } from './issuance-request.ts';
import { prepareCertificate } from './prepare-certificate.ts';
import { recordCertificate, recordRefusal, reserveCertificate } from './reserve-certificate.ts';
import { findFallen } from './standing.ts';

/**
 * The one door to a signature: decide → lint → reserve serial and intent, logged → sign → record, logged → return. Both commits are durable before
 * what follows them, and concurrent calls share them. Whatever is refused is logged with its reasons.
 * @throws issuance-refused with all reasons; state-conflict if no authority is valid; what `request.claim` throws
 */
export async function issueCertificate(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: IssuanceRequest,
  now: Instant,
): Promise<IssuedCertificate> {
  const { database, authorities } = deps;
  const issuer = currentIssuer(authorities, now, request.issuerId);
  const prepared = prepareCertificate(authorities, issuer, request, now);
  if (prepared.kind === 'refuse') {
    const graceMs = prepared.profile?.renewalGraceMs ?? 0;
    throw await refuse(database, request, { reasons: prepared.reasons, graceMs }, now);
  }
  const { tbs, serial, template, profile } = prepared;
  const footing = { ...request, graceMs: profile.renewalGraceMs ?? 0 };
  const reservation = reservationOf(issuer, request, { serial, template }, now);
  const intent = { reservation, tbsSha256: sha256(tbs) };
  const against = await reserveCertificate(database, footing, intent, now);
  if (against.length > 0) throw new IssuanceRefused(against);
  const der = assembleCertificate(tbs, issuer.signer.algorithm, await issuer.signer.sign(tbs));
  const fallen = await recordCertificate(database, footing, { reservation, der, sha256: sha256(der) }, now);
  if (fallen.length > 0) throw new IssuanceRefused(fallen);
  const { issuerId, issuerKeySha256, spiffeId, proxyId, notBefore, notAfter } = reservation;
  const serialHex = Buffer.from(serial).toString('hex');
  return { issuerId, issuerKeySha256, serial, serialHex, spiffeId, proxyId, der, chain: [der, ...issuer.chain], notBefore, notAfter };
}

async function refuse(
  database: AuditedDatabase,
  request: IssuanceRequest,
  { reasons, graceMs }: { readonly reasons: readonly string[]; readonly graceMs: number },
  now: Instant,
): Promise<IssuanceRefused> {
  const all = await database.commit(async (unit) => {
    const both = [...reasons, ...(await findFallen(unit.queries, { ...request, graceMs }, now))];
    recordRefusal(unit, request, both, now);
    return both;
  });
  return new IssuanceRefused(all);
}

function reservationOf(
  issuer: IssuingAuthority,
  request: IssuanceRequest,
  { serial, template }: { readonly serial: Uint8Array; readonly template: CertificateTemplate },
  now: Instant,
): Reservation {
  const { door, asker, actor, spiffeId, proxyId, environment, region, csr } = request;
  const { dns = [], ip = [] } = template.fields.subjectAltNames ?? {};
  return {
    issuerId: issuer.id,
    issuerKeySha256: issuer.keySha256,
    serial,
    profile: template.profile,
    door,
    spiffeId,
    names: { dns, ip },
    proxyId,
    environment,
    region,
    spkiSha256: csr.spkiSha256,
    notBefore: template.fields.notBefore,
    notAfter: template.fields.notAfter,
    reservedAt: now,
    crlShard: crlShardOf(serial, issuer.crlShards),
    // What a data plane asks for itself is found by its identity: an index would say it twice.
    asker: actor.name === spiffeId ? null : actor.name,
    askerRole: asker.role,
  };
}

function sha256(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}
