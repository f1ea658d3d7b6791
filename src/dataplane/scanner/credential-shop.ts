import type { KeyObject } from 'node:crypto';
import { type DrillRunKind, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { makePrivateKey } from '../../platform/keystore/make-private-key.ts';
import type { Link } from '../link/open-link.ts';
import type { Credential } from './fire-drill.ts';
import { leafOf, signByForeignAuthority } from './foreign-authority.ts';
import type { CredentialSource } from './run-drill-job.ts';

/**
 * Credentials for one job: each key is made here, each certificate comes from the real issuing CA by its one door, but for the
 * drill of an unknown authority. What differs from the positive credential is the one property that the kind names.
 */
export function createCredentialShop({ link, jobId }: { readonly link: Link; readonly jobId: string }): CredentialSource {
  const order = async (kind: DrillRunKind, key: KeyObject): Promise<readonly Uint8Array[]> => {
    const csr = buildCertificateRequest({ uris: [], dnsNames: [], ipAddresses: [] }, key);
    return link.issueDrillCertificate({ jobId, kind, csr });
  };
  return {
    async credentialFor(kind) {
      if (kind === 'no-certificate' || kind === 'plaintext') return null;
      const key = await makePrivateKey();
      // An old version and an unknown authority are shown with what would be a good certificate.
      const ordered = kind === 'tls-1.1' || kind === 'unknown-authority' ? POSITIVE_DRILL : kind;
      const chain = await order(ordered, key);
      return toCredential(kind === 'unknown-authority' ? await signByForeignAuthority(leafOf(chain), makePrivateKey) : chain, key);
    },
    async revoke({ serial }) {
      await link.revokeDrillCertificate({ jobId, serial });
    },
  };
}

function toCredential(chain: readonly Uint8Array[], key: KeyObject): Credential {
  return {
    certificates: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    serial: leafOf(chain).serial,
  };
}
