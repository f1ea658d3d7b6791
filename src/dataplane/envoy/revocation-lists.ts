import type { RevokedSet, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type CertificateList, isListSignedBy, parseCertificateList } from '../../core/x509/certificate-list.ts';
import { decodePem } from '../../core/x509/pem.ts';
import { parseTrust } from '../tls/trust.ts';
import type { AdminClient, ConfigEntry } from './admin-client.ts';

/**
 * The revocation lists that Envoy has in force, by the issuer's key. They are signed by the control plane alone, so what Envoy runs cannot be
 * computed without them; each is held against its issuer and the revoked set. Null if one lacks a certificate of the set. @throws state-conflict
 */
export async function readLists(
  admin: AdminClient,
  { bundle, revoked }: { readonly bundle: TrustBundle; readonly revoked: RevokedSet },
): Promise<ReadonlyMap<string, Uint8Array> | null> {
  const issuing = parseTrust(bundle).intermediates;
  const found = new Map<string, Uint8Array>();
  const texts = new Set((await admin.dump('dynamic_active_secrets', 'name,secret.validation_context.crl')).map(listsOf));
  for (const der of [...texts].flatMap((text) => decodePem(text, 'X509 CRL'))) {
    const list = parseCertificateList(der);
    const issuer = issuing.find((authority) => isListSignedBy(list, authority));
    if (issuer === undefined) continue;
    if (!covers(list, issuer.spkiSha256, revoked)) return null;
    found.set(issuer.spkiSha256, der);
  }
  return found;
}

function covers({ revoked: entries }: CertificateList, issuerKeySha256: string, { certificates }: RevokedSet): boolean {
  const listed = new Set(entries.map(({ serialHex }) => serialHex));
  return certificates.every((one) => hex(one.issuerKeySha256) !== issuerKeySha256 || listed.has(hex(one.serial)));
}

function listsOf(entry: ConfigEntry): string {
  const crl = ['secret', 'validation_context', 'crl', 'inline_bytes'].reduce<unknown>(
    (value, field) => (typeof value === 'object' && value !== null ? (value as ConfigEntry)[field] : undefined),
    entry,
  );
  return typeof crl === 'string' ? Buffer.from(crl, 'base64').toString('latin1') : '';
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('hex');
}
