import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem } from '../../core/x509/pem.ts';
import type { ForeignCertificate } from './foreign-certificate.ts';

/** The chain as it was recorded, leaf first. */
export function chainOf({ chain }: Pick<ForeignCertificate, 'chain'>): readonly [Certificate, ...Certificate[]] {
  const [leaf, ...rest] = decodePem(chain, 'CERTIFICATE').map((der) => parseCertificate(der));
  if (leaf === undefined) throw new Error('a recorded chain is empty');
  return [leaf, ...rest];
}

export function leafOf(certificate: Pick<ForeignCertificate, 'chain'>): Certificate {
  return chainOf(certificate)[0];
}
