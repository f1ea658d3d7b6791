import { findCertificate, type CertificateRecord } from '../../control/ca/certificate-store.ts';
import { isEntityId } from '../../core/ids/entity-id.ts';
import { HOUR_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Account } from './account.ts';
import { type AcmeAnswer, jsonAnswer } from './answer.ts';
import { listAuthorizations } from './authorization-store.ts';
import { decodeBase64url } from './base64url.ts';
import type { AcmeDeps } from './deps.ts';
import { type Order, orderStatus } from './order.ts';
import { findOrderOfCertificate, listReplacements } from './order-store.ts';
import { AcmeProblem, malformed, notFound } from './problems.ts';

/** When to renew a certificate (RFC 9773 section 4): open to everybody, cacheable. A revoked one is due at once. */
export async function answerRenewalInfo(
  { database, authorities }: Pick<AcmeDeps, 'database' | 'authorities'>,
  id: string,
): Promise<AcmeAnswer> {
  const certificate = await findNamed(database.queries, id, authorities);
  if (certificate === null || certificate.status !== 'issued') throw notFound();
  const { notBefore, notAfter, revokedAt } = certificate;
  const window = revokedAt === null ? usualWindow(notBefore, notAfter) : { start: revokedAt - HOUR_MS, end: revokedAt - MINUTE_MS };
  const retryAfterMs = Math.min(MAXIMUM_RETRY_MS, Math.max(MINUTE_MS, (notAfter - notBefore) / 50));
  const seconds = String(Math.floor(retryAfterMs / 1_000));
  return jsonAnswer(
    200,
    { suggestedWindow: { start: iso(window.start), end: iso(window.end) } },
    { 'retry-after': seconds, 'cache-control': `public, max-age=${seconds}` },
  );
}

/**
 * The certificate id of `replaces`, if it may be named: the same account's, with a name in common, not replaced yet (RFC 9773 section 5).
 * Null: the order names none. @throws malformed, unauthorized, alreadyReplaced
 */
export async function checkReplacement(
  queries: Queries,
  { account, value, names }: { readonly account: Account; readonly value: unknown; readonly names: readonly string[] },
  now: Instant,
): Promise<string | null> {
  if (value === undefined) return null;
  const id = typeof value === 'string' ? parseCertificateId(value) : null;
  if (typeof value !== 'string' || id === null) throw malformed('replaces is no certificate id of ARI');
  const order = await findOrderById(queries, id);
  // One answer for none and for another's.
  if (order === null || order.accountId !== account.id) throw malformed('replaces names no certificate of this account');
  if (!order.identifiers.some((identifier) => names.includes(identifier.value))) {
    throw malformed('replaces names a certificate without a name of this order');
  }
  for (const other of await listReplacements(queries, value)) {
    if (orderStatus(now, other, await listAuthorizations(queries, other.authorizations)) === 'invalid') continue;
    throw new AcmeProblem('alreadyReplaced', 'Cannot order: the certificate that it replaces is replaced by another order');
  }
  return value;
}

type CertificateId = { readonly authorityKeyId: string; readonly serial: Uint8Array };

/** `base64url(keyIdentifier) "." base64url(serial)`, the content octets as they stand in the certificate (RFC 9773 section 4.1). */
function parseCertificateId(text: string): CertificateId | null {
  const [key, serial, ...rest] = text.length > MAXIMUM_ID ? [] : text.split('.');
  const keyOctets = decodeBase64url(key ?? '');
  const serialOctets = decodeBase64url(serial ?? '');
  if (keyOctets === null || serialOctets === null || keyOctets.length === 0 || serialOctets.length === 0 || rest.length > 0) return null;
  return { authorityKeyId: keyOctets.toString('hex'), serial: serialOctets };
}

async function findNamed(queries: Queries, text: string, authorities: AcmeDeps['authorities']): Promise<CertificateRecord | null> {
  const id = parseCertificateId(text);
  if (id === null) throw malformed('the id is not one of ARI');
  for (const { certificate, keySha256 } of authorities.issuing) {
    if (certificate.subjectKeyId !== id.authorityKeyId) continue;
    const found = await findCertificate(queries, keySha256, id.serial);
    if (found !== null) return found;
  }
  return null;
}

/** By its serial, then by its own octets: the key identifier must be the certificate's. */
async function findOrderById(queries: Queries, { authorityKeyId, serial }: CertificateId): Promise<Order | null> {
  const order = await findOrderOfCertificate(queries, serial);
  if (order?.certificate == null || !isEntityId('order', order.id)) return null;
  const held = await findCertificate(queries, order.certificate.issuerKeySha256, serial);
  return held?.der == null || parseCertificate(held.der).authorityKeyId !== authorityKeyId ? null : order;
}

/** Around two thirds of the life, wide enough that a fleet of the same age does not come at once. */
function usualWindow(notBefore: Instant, notAfter: Instant): { readonly start: Instant; readonly end: Instant } {
  const life = notAfter - notBefore;
  return { start: Math.round(notBefore + life * 0.64), end: Math.round(notBefore + life * 0.7) };
}

function iso(at: Instant): string {
  return new Date(at).toISOString();
}

const MAXIMUM_ID = 120;
const MAXIMUM_RETRY_MS = 6 * HOUR_MS;
