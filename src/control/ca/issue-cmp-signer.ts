import { sign } from 'node:crypto';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { signatureAlgorithmFor, signatureParameters, type SignatureAlgorithm } from '../../core/x509/signature-algorithm.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { type Authorities, currentIssuer } from './authorities.ts';
import { issueSigner } from './issue-signer.ts';

/** Who signs what CMP answers; `chain` is its certificate and those between it and the root, DER. */
export type CmpSigner = {
  readonly certificate: Certificate;
  readonly chain: readonly Uint8Array[];
  readonly algorithm: SignatureAlgorithm;
  readonly sign: (octets: Uint8Array) => Uint8Array;
};

/**
 * A signer of the current authority (RFC 9810 section 4.5). @throws issuance-refused
 */
export async function issueCmpSigner(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  now: Instant,
): Promise<CmpSigner> {
  const order = { authority: currentIssuer(deps.authorities, now), profile: 'cmp-signer', protocol: 'cmp' } as const;
  const { issued, privateKey } = await issueSigner(deps, order, now);
  const algorithm = signatureAlgorithmFor(privateKey);
  const { hash, options } = signatureParameters(algorithm);
  return {
    certificate: parseCertificate(issued.der),
    chain: issued.chain,
    algorithm,
    sign: (octets) => sign(hash, octets, { key: privateKey, ...options }),
  };
}

/** True from the moment on at which the next one is to be made: whoever got an answer may look at it for a while. */
export function isCmpSignerOld({ certificate: { notBefore, notAfter } }: CmpSigner, now: Instant): boolean {
  return now >= notBefore + (notAfter - notBefore) / 2;
}
