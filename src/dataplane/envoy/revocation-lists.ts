import { hash } from 'node:crypto';
import type { RevokedSet, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { isListSignedBy, parseCertificateList } from '../../core/x509/certificate-list.ts';
import { decodePem } from '../../core/x509/pem.ts';
import { parseTrust } from '../tls/trust.ts';

/** The list of each issuing authority as it is in force; `key` is the same for the same lists. */
export type ListsInForce = { readonly key: string; readonly crls: ReadonlyMap<string, Uint8Array> };

/**
 * The revocation lists that Envoy has in force, by the issuer's key. They are signed by the control plane alone, so what Envoy runs cannot be
 * computed without them; each is held against its issuer and the revoked set.
 */
export class RevocationLists {
  /** What the last texts said, under this bundle. */
  #known: { readonly bundle: TrustBundle; readonly byText: ReadonlyMap<string, readonly Listed[]> } | null = null;

  /** Null if one lacks a certificate of the set. @throws der-malformed, input-invalid */
  read(
    texts: ReadonlySet<string>,
    { bundle, revoked }: { readonly bundle: TrustBundle; readonly revoked: RevokedSet },
  ): ListsInForce | null {
    const known = this.#known?.bundle === bundle ? this.#known.byText : new Map<string, readonly Listed[]>();
    const byText = new Map([...texts].map((text) => [text, known.get(text) ?? listedIn(text, bundle)] as const));
    this.#known = { bundle, byText };
    const listed = [...byText.values()].flat();
    if (!listed.every((list) => covers(list, revoked))) return null;
    return {
      key: listed.map(({ issuerKeySha256, digest }) => `${issuerKeySha256} ${digest}`).join(' '),
      crls: new Map(listed.map(({ issuerKeySha256, der }) => [issuerKeySha256, der])),
    };
  }
}

type Listed = {
  readonly issuerKeySha256: string;
  readonly der: Uint8Array;
  readonly digest: string;
  readonly serials: ReadonlySet<string>;
};

/** Those of our own authorities: lists of others are held against nothing here. */
function listedIn(text: string, bundle: TrustBundle): readonly Listed[] {
  const issuing = parseTrust(bundle).intermediates;
  return decodePem(text, 'X509 CRL').flatMap((der) => {
    const list = parseCertificateList(der);
    const issuer = issuing.find((authority) => isListSignedBy(list, authority));
    if (issuer === undefined) return [];
    const serials = new Set(list.revoked.map(({ serialHex }) => serialHex));
    return [{ issuerKeySha256: issuer.spkiSha256, der, digest: hash('sha256', der, 'hex'), serials }];
  });
}

function covers({ issuerKeySha256, serials }: Listed, { certificates }: RevokedSet): boolean {
  return certificates.every((one) => hex(one.issuerKeySha256) !== issuerKeySha256 || serials.has(hex(one.serial)));
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('hex');
}
