import type { CertificateRecord } from '../../control/ca/certificate-store.ts';
import type { IssuedCertificate } from '../../control/ca/issuance-request.ts';
import type { CertificateFilter } from '../../control/ca/search-certificates.ts';
import { encodePem } from '../../core/x509/pem.ts';

/** A certificate as lists have it: what is known of it, without its DER. */
export function showCertificate(record: CertificateRecord): { readonly [name: string]: unknown } {
  const { issuerId, issuerKeySha256, profile, door, asker, spiffeId, names, proxyId, environment, region, spkiSha256 } = record;
  const { notBefore, notAfter, status, reservedAt, revokedAt, revocationReason } = record;
  const serial = Buffer.from(record.serial).toString('hex');
  const identity = { serial, issuerId, issuerKeySha256, spkiSha256, spiffeId, names };
  const end = { notBefore, notAfter, status, reservedAt, revokedAt, revocationReason };
  return { ...identity, profile, door, asker, proxyId, environment, region, ...end };
}

/** Where the next page begins. */
export function cursorOf({ reservedAt, serial }: Pick<CertificateRecord, 'reservedAt' | 'serial'>): string {
  return `${reservedAt}-${Buffer.from(serial).toString('hex')}`;
}

/** Where the next page begins when the list is in the order of the end. */
export function endCursorOf({ notAfter, serial }: Pick<CertificateRecord, 'notAfter' | 'serial'>): string {
  return `${notAfter}-${Buffer.from(serial).toString('hex')}`;
}

/** Of a text that has the form of `pageCursor`. */
export function readCursor(cursor: string): NonNullable<CertificateFilter['before']> {
  const [at = '', last = ''] = cursor.split('-');
  return { reservedAt: Number(at), serial: Buffer.from(last, 'hex') };
}

/** What was just issued, with its chain as PEM. */
export function showIssued({ serialHex, issuerId, issuerKeySha256, spiffeId, notBefore, notAfter, chain }: IssuedCertificate): unknown {
  const pem = chain.map((der) => encodePem('CERTIFICATE', der)).join('');
  return { serial: serialHex, issuerId, issuerKeySha256, spiffeId, notBefore, notAfter, pem };
}
