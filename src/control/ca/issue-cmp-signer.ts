import { generateKeyPairSync, sign } from 'node:crypto';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { buildName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import { signatureAlgorithmFor, signatureParameters, type SignatureAlgorithm } from '../../core/x509/signature-algorithm.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { type Authorities, currentIssuer } from './authorities.ts';
import { issueCertificate } from './issue-certificate.ts';

/** Who signs what CMP answers; `chain` is its certificate and those between it and the root, DER. */
export type CmpSigner = {
  readonly certificate: Certificate;
  readonly chain: readonly Uint8Array[];
  readonly algorithm: SignatureAlgorithm;
  readonly sign: (octets: Uint8Array) => Uint8Array;
};

/**
 * A signer of the current authority (RFC 9810 section 4.5), for a key that is made here, never stored, and new each time: every process has its own, and the
 * authority's key never meets a message from outside. @throws issuance-refused
 */
export async function issueCmpSigner(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  now: Instant,
): Promise<CmpSigner> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = parseCertificateRequest(buildCertificateRequest({}, privateKey));
  const { id: issuerId, environment, region } = currentIssuer(deps.authorities, now);
  const { der, chain } = await issueCertificate(
    deps,
    {
      door: 'control-plane',
      profile: 'cmp-signer',
      asker: { role: 'control-plane', scope: '*', spiffeId: null },
      actor: { kind: 'system', name: 'cmp' },
      csr,
      spiffeId: null,
      names: { dns: [], ip: [] },
      proxyId: null,
      environment,
      region,
      issuerId,
      distinguishedName: buildName([[oids.commonName, `Countersign CMP ${csr.spkiSha256.slice(0, 12)}`]]),
    },
    now,
  );
  const algorithm = signatureAlgorithmFor(privateKey);
  const { hash, options } = signatureParameters(algorithm);
  return {
    certificate: parseCertificate(der),
    chain,
    algorithm,
    sign: (octets) => sign(hash, octets, { key: privateKey, ...options }),
  };
}

/** True from the moment on at which the next one is to be made: whoever got an answer may look at it for a while. */
export function isCmpSignerOld({ certificate: { notBefore, notAfter } }: CmpSigner, now: Instant): boolean {
  return now >= notBefore + (notAfter - notBefore) / 2;
}
