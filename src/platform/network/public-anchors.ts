import { rootCertificates } from 'node:tls';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem } from '../../core/x509/pem.ts';

/** Of the public roots that Node carries those that the issuers named in a chain may be: few, so that path building stays small. */
export function publicAnchorsFor(chain: readonly Certificate[]): readonly Certificate[] {
  const wanted = new Set(chain.map(({ issuer }) => hexOf(issuer.der)));
  return carriedRoots().filter(({ subject }) => wanted.has(hexOf(subject.der)));
}

/** Read once, at the first question. One that is not strict DER anchors nothing. */
function carriedRoots(): readonly Certificate[] {
  return (roots ??= rootCertificates.flatMap((pem) => {
    try {
      return decodePem(pem, 'CERTIFICATE').map((der) => parseCertificate(der));
    } catch {
      return [];
    }
  }));
}

function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}

let roots: readonly Certificate[] | null = null;
