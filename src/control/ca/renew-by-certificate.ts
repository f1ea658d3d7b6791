import type { ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import { type CertificateRecord, findCertificate } from './certificate-store.ts';
import { findSuccessor } from './find-successor.ts';
import type { IssuanceRequest, IssuedCertificate } from './issuance-request.ts';
import { IssuanceRefused } from './issuance-refused.ts';
import { findProfile } from './prepare-certificate.ts';
import { type RenewalRequest, renewalOf, renewCertificate } from './renew-certificate.ts';
import { findFallen } from './standing.ts';

export type RenewalDeps = {
  readonly database: AuditedDatabase;
  readonly authorities: Authorities;
  /** Told why a certificate was not taken, which the caller is not. */
  readonly refused: (reason: string, detail: string) => void;
};

/** What is asked for by whoever proved to hold a certificate. */
export type HolderRequest = {
  /** DER, leaf first, as a handshake or a signed message proved it. */
  readonly chain: readonly Uint8Array[];
  readonly csr: CertificateRequest;
  /** `signer`: a message was signed by it, which others can send again, and which has one answer. Absent: it was shown in a handshake, by a client of TLS. */
  readonly usage?: 'client' | 'signer';
  /** The door takes certificates of this environment and profile only; absent: of all. */
  readonly only?: { readonly environment: string; readonly profile: ProfileName };
  /** More that the entries of the log shall say. */
  readonly note?: RenewalRequest['note'];
};

/**
 * A successor for the certificate that a TLS client proved to hold: same names, same profile, a new key if the CSR has one. It may have ended, by no more than
 * the grace of its profile; whatever else is wrong with it is as wrong as ever.
 * @throws unauthenticated; state-conflict of a data plane's; issuance-refused once it is revoked, its identity suspended or the grace over
 */
export async function renewByCertificate(
  deps: RenewalDeps,
  { chain, csr, usage = 'client', only, note }: HolderRequest,
  now: Instant,
): Promise<IssuedCertificate> {
  const record = await proveHolder(deps, { chain, usage }, now);
  // A data plane's connection is known by its certificate, and the listener for data planes keeps count of them.
  if (record.proxyId !== null)
    throw new Problem('state-conflict', 'Cannot renew certificate: a data plane renews on its own listener, expected one of REST or ACME');
  // Whoever has one of these was given it for a moment, or is the control plane: neither asks by it, and their refusals fill no log.
  if (record.door === 'drill' || record.door === 'control-plane') {
    deps.refused('other-door', record.door);
    throw new Problem('forbidden', 'Cannot renew certificate: it is of a drill or of the control plane itself');
  }
  if (only !== undefined && (record.environment !== only.environment || record.profile !== only.profile)) {
    deps.refused('other-profile', `${record.environment}/${record.profile}`);
    throw new Problem('forbidden', 'Cannot renew certificate: it is of another environment or profile than this door is for');
  }
  const request = { predecessor: record, csr, by: { kind: 'holder' }, ...(note === undefined ? {} : { note }) } as const;
  await checkStanding(deps, await renewalOf(deps.database.queries, request), now);
  const successor = usage === 'signer' ? await findSuccessor(deps, { predecessor: record, csr }, now) : null;
  return successor ?? renewCertificate(deps, request, now);
}

/**
 * Whoever holds a fallen certificate, its thief too, holds it for ever: no refusal of theirs makes an entry of its own, or they could fill the log. The listener
 * counts them in its entries. Whether it stands is asked again in both commits. @throws issuance-refused
 */
async function checkStanding({ database, authorities, refused }: RenewalDeps, request: IssuanceRequest, now: Instant): Promise<void> {
  const graceMs = findProfile(authorities, request.environment, request.profile)?.renewalGraceMs ?? 0;
  const fallen = await findFallen(database.queries, { ...request, graceMs }, now);
  if (fallen.length === 0) return;
  refused('certificate-fallen', fallen.join('; '));
  throw new IssuanceRefused(fallen);
}

async function proveHolder(
  { database, authorities, refused }: RenewalDeps,
  { chain, usage }: Pick<HolderRequest, 'chain'> & { readonly usage: 'client' | 'signer' },
  now: Instant,
): Promise<CertificateRecord> {
  const refuse = (reason: string, detail = ''): Problem => {
    refused(reason, detail);
    return new Problem(
      'unauthenticated',
      'Cannot renew certificate: expected a client certificate that was issued here and is for clients',
    );
  };
  if (chain.length === 0) throw refuse('certificate-required');
  const leaf = readChain(chain);
  if (leaf === null) throw refuse('certificate-malformed');
  // Of one that ended it is asked whether it was good at its end; how long ago that may be, the profile says.
  const verdict = verifyPath({
    leaf: leaf[0]!,
    intermediates: [...leaf.slice(1), ...authorities.issuing.map(({ certificate }) => certificate)],
    anchors: authorities.roots,
    usage,
    now: Math.min(now, leaf[0]!.notAfter),
  });
  if (verdict.kind === 'invalid') throw refuse('certificate-invalid', verdict.reason);
  const issuerKeySha256 = verdict.path[1]?.spkiSha256 ?? '';
  const record = await findCertificate(database.queries, issuerKeySha256, leaf[0]!.serial);
  const isOurs = record?.der != null && Buffer.from(record.der).equals(leaf[0]!.der) && record.status === 'issued';
  if (record === null || !isOurs) throw refuse('certificate-unknown', leaf[0]!.serialHex);
  return record;
}

function readChain(chain: readonly Uint8Array[]): readonly Certificate[] | null {
  try {
    return chain.map((der) => parseCertificate(der));
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}
