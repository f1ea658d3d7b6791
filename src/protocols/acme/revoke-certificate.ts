import { type CertificateRecord, findCertificate } from '../../control/ca/certificate-store.ts';
import { isRevocationReason, type RevocationReason } from '../../control/ca/revocation-reason.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import type { Actor } from '../../control/audit/entry.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { sha256Hex } from '../../core/x509/public-key.ts';
import { type Account, actorOfAccount } from './account.ts';
import type { AcmeAnswer } from './answer.ts';
import type { Signed } from './authenticate.ts';
import { orderedName } from './authorization.ts';
import { listValidAuthorizations } from './authorization-store.ts';
import { decodeBase64url } from './base64url.ts';
import type { AcmeDeps } from './deps.ts';
import { findOrderOfCertificate } from './order-store.ts';
import { AcmeProblem, malformed } from './problems.ts';

type RevokeDeps = Pick<AcmeDeps, 'database' | 'authorities' | 'authorityChanged'>;

/**
 * Revokes a certificate (RFC 8555 section 7.6) for the account that it was issued to, for one that has proved all its names, or for whoever holds
 * its key: by that the key is known to be in other hands or given up, so the reason is keyCompromise and the key is never certified again.
 */
export async function postRevocation(deps: RevokeDeps, { account, key, payload }: Signed, now: Instant): Promise<AcmeAnswer> {
  const held = await findPresented(deps, payload);
  const byKey = account === null;
  const reason = readReason(payload?.['reason']);
  const spki = key.key.export({ type: 'spki', format: 'der' });
  const permitted = byKey ? sha256Hex(spki) === held.spkiSha256 : await mayRevoke(deps, account, held, now);
  if (!permitted) {
    throw new AcmeProblem('unauthorized', 'Cannot revoke certificate: it is not of this account, which has not proved its names either');
  }
  const actor: Actor = byKey ? { kind: 'machine', name: 'acme:certificate-key' } : actorOfAccount(account);
  const { issuerKeySha256, serial } = held;
  // The key's holder may say it again of one that was revoked for less.
  const amends = byKey && held.revocationReason !== 'keyCompromise';
  if (held.revokedAt !== null && !amends) throw alreadyRevoked();
  try {
    await revokeCertificate(
      { database: deps.database, changed: deps.authorityChanged },
      { issuerKeySha256, serial, reason: byKey ? 'keyCompromise' : reason },
      actor,
      now,
    );
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'state-conflict') throw error;
    const current = await findCertificate(deps.database.queries, issuerKeySha256, serial);
    throw current?.revokedAt == null ? malformed('the certificate is expired') : alreadyRevoked();
  }
  return { status: 200, headers: {}, body: null };
}

/** One of ours, octet for octet. @throws malformed, unauthorized */
async function findPresented({ database, authorities }: RevokeDeps, payload: Signed['payload']): Promise<CertificateRecord> {
  const text = payload?.['certificate'];
  const der = typeof text === 'string' ? decodeBase64url(text) : null;
  if (der === null || der.length > MAXIMUM_CERTIFICATE) throw malformed('certificate is not base64url of a certificate');
  const presented = parsePresented(der);
  const issuers = authorities.issuing.filter(({ certificate }) => Buffer.from(certificate.subject.der).equals(presented.issuer.der));
  for (const { keySha256 } of issuers) {
    const held = await findCertificate(database.queries, keySha256, presented.serial);
    if (held?.status === 'issued' && held.der !== null && der.equals(held.der)) return held;
  }
  throw malformed('the certificate is not one of this CA', { status: 404 });
}

function parsePresented(der: Buffer) {
  try {
    return parseCertificate(der);
  } catch (cause) {
    if (!(cause instanceof Problem)) throw cause;
    throw malformed('the certificate is no strict DER', { cause });
  }
}

async function mayRevoke({ database }: RevokeDeps, account: Account, held: CertificateRecord, now: Instant): Promise<boolean> {
  const order = await findOrderOfCertificate(database.queries, held.serial);
  if (order?.accountId === account.id) return true;
  const names = [...held.names.dns, ...held.names.ip];
  // What carries an identity is no concern of those who hold a name of it.
  if (names.length === 0 || held.spiffeId !== null || held.environment !== account.environment) return false;
  const bases = names.map((name) => name.replace(/^\*\./, ''));
  const proven = new Set((await listValidAuthorizations(database.queries, account.id, bases, now)).map(orderedName));
  return names.every((name) => proven.has(name));
}

/** Codes of RFC 5280 section 5.3.1, those that TLS has a use for. @throws badRevocationReason */
function readReason(value: unknown): RevocationReason {
  const word = value === undefined ? 'unspecified' : reasonCodes[value as keyof typeof reasonCodes];
  if (typeof value !== 'undefined' && typeof value !== 'number') throw malformed('reason is no number');
  if (word !== undefined && isRevocationReason(word)) return word;
  throw new AcmeProblem(
    'badRevocationReason',
    `Cannot revoke certificate: reason ${value}, expected ${Object.keys(reasonCodes).join(', ')}`,
  );
}

function alreadyRevoked(): AcmeProblem {
  return new AcmeProblem('alreadyRevoked', 'Cannot revoke certificate: it is revoked already');
}

/** A client may not speak for the authority (2), nor hold (6, 8). */
const reasonCodes = {
  0: 'unspecified',
  1: 'keyCompromise',
  3: 'affiliationChanged',
  4: 'superseded',
  5: 'cessationOfOperation',
  9: 'privilegeWithdrawn',
} as const;
const MAXIMUM_CERTIFICATE = 32_768;
