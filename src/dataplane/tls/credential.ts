import { createHash, type KeyObject } from 'node:crypto';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';

/** The proxy's own key and certificate, ready for TLS. */
export type Credential = {
  readonly spiffeId: SpiffeId;
  readonly leaf: Certificate;
  /** The certificate that the chain has above the leaf; null where it is the leaf alone. */
  readonly issuer: Certificate | null;
  /** SHA-256 of the issuer's key, as far as the chain shows its issuer. */
  readonly issuerKeySha256: Uint8Array;
  readonly chainPem: string;
  readonly privateKey: KeyObject;
  /** Digest of the leaf: another certificate is another credential. */
  readonly digest: string;
};

/** @throws der-malformed; state-corrupt if the chain is empty */
export function openCredential({ spiffeId, chain, privateKey }: Pick<StoredIdentity, 'spiffeId' | 'chain' | 'privateKey'>): Credential {
  const [leaf, issuer] = chain.map((der) => parseCertificate(der));
  if (leaf === undefined) throw new Problem('state-corrupt', 'Cannot use identity: its chain is empty, expected a leaf');
  return {
    spiffeId,
    leaf,
    issuer: issuer ?? null,
    issuerKeySha256: issuer === undefined ? new Uint8Array() : Buffer.from(issuer.spkiSha256, 'hex'),
    chainPem: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    privateKey,
    digest: createHash('sha256').update(leaf.der).digest('hex'),
  };
}

/** PKCS#8 PEM: what node:tls takes of a key. It stays in this process. */
export function keyPemOf({ privateKey }: Credential): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}
