import { createHash } from 'node:crypto';
import { decideIssuance } from '../../core/issuance/decide-issuance.ts';
import type { CertificateTemplate } from '../../core/issuance/issuance-order.ts';
import { builtInProfile } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import { assembleCertificate, buildTbsCertificate } from '../../core/x509/build-certificate.ts';
import { lintTbsCertificate, type LintedTbs } from '../../core/x509/lint-certificate.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { type Authorities, currentIssuer, type IssuingAuthority } from './authorities.ts';
import type { Reservation } from './certificate-store.ts';
import { crlShardOf, crlUrlOf } from './crl-path.ts';
import { IssuanceRefused } from './issuance-refused.ts';
import type { IssuanceRequest, IssuedCertificate } from './issuance-request.ts';
import { recordCertificate, recordRefusal, reserveCertificate } from './reserve-certificate.ts';
import { newSerialNumber } from './serial-number.ts';
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
  if (prepared.kind === 'refuse') throw await refuse(database, request, prepared.reasons, now);
  const { tbs, serial, template } = prepared;
  const reservation = reservationOf(issuer, request, { serial, template }, now);
  const intent = { reservation, tbsSha256: sha256(tbs) };
  const against = await reserveCertificate(database, request, intent, now);
  if (against.length > 0) throw new IssuanceRefused(against);
  const der = assembleCertificate(tbs, issuer.signer.algorithm, await issuer.signer.sign(tbs));
  const fallen = await recordCertificate(database, request, { reservation, der, sha256: sha256(der) }, now);
  if (fallen.length > 0) throw new IssuanceRefused(fallen);
  const { issuerId, issuerKeySha256, spiffeId, proxyId, notBefore, notAfter } = reservation;
  const serialHex = Buffer.from(serial).toString('hex');
  return { issuerId, issuerKeySha256, serial, serialHex, spiffeId, proxyId, der, chain: [der, ...issuer.chain], notBefore, notAfter };
}

type Prepared =
  | { readonly kind: 'sign'; readonly tbs: LintedTbs; readonly serial: Uint8Array; readonly template: CertificateTemplate }
  | { readonly kind: 'refuse'; readonly reasons: readonly string[] };

/** Decides, builds and lints. Whether identity, key and predecessor stand is asked inside the commits, where the answer cannot age. */
function prepareCertificate(authorities: Authorities, issuer: IssuingAuthority, request: IssuanceRequest, now: Instant): Prepared {
  const serial = newSerialNumber();
  const { door, asker, environment, csr, spiffeId, names, lifetimeMs, flaw } = request;
  const profile = builtInProfile(request.profile);
  if (profile === null) return { kind: 'refuse', reasons: [`asker: there is no profile ${request.profile}`] };
  const decision = decideIssuance(
    now,
    profile,
    {
      door,
      asker,
      environment,
      key: csr,
      spiffeId,
      dnsNames: names.dns,
      ipAddresses: names.ip,
      authorityName: request.distinguishedName ?? null,
      ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
      ...(flaw === undefined ? {} : { flaw }),
    },
    {
      trustDomain: authorities.trustDomain,
      issuer: issuer.certificate,
      issuerEnvironment: issuer.environment,
      crlUri: crlUrlOf(issuer, crlShardOf(serial, issuer.crlShards)),
      ocspUri: issuer.ocspUrl,
      reservedNames: authorities.reservedNames ?? [],
      identitySuspended: false,
      keyBlocked: false,
    },
  );
  if (decision.kind === 'refuse') return { kind: 'refuse', reasons: decision.reasons.map(({ rule, message }) => `${rule}: ${message}`) };
  const { template } = decision;
  const tbs = buildTbsCertificate({ ...template.fields, serial, signatureAlgorithm: issuer.signer.algorithm });
  const lint = lintTbsCertificate(tbs, issuer.certificate, {
    now,
    exceptions: template.exceptions,
    ...(authorities.blockedKeys === undefined ? {} : { blockedKeys: authorities.blockedKeys }),
  });
  if (lint.kind === 'faulty') {
    return { kind: 'refuse', reasons: lint.findings.map(({ rule, clause, message }) => `lint ${rule} (${clause}): ${message}`) };
  }
  return { kind: 'sign', tbs: lint.tbs, serial, template };
}

async function refuse(
  database: AuditedDatabase,
  request: IssuanceRequest,
  reasons: readonly string[],
  now: Instant,
): Promise<IssuanceRefused> {
  const all = await database.commit(async (unit) => {
    const both = [...reasons, ...(await findFallen(unit.queries, request, now))];
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
  const { door, spiffeId, proxyId, environment, region, csr } = request;
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
  };
}

function sha256(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}
