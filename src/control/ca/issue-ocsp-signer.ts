import { createHash } from 'node:crypto';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import type { OcspSpeaker } from '../../core/x509/lint-ocsp-response.ts';
import { issuerHashesOf } from '../../core/x509/ocsp-cert-id.ts';
import type { Signer } from '../../platform/signer/signer.ts';
import { makeSoftwareSigner } from '../../platform/signer/software-signer.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import { issueSigner } from './issue-signer.ts';

/** Who answers for one authority in this process. */
export type OcspSigner = OcspSpeaker & { readonly authority: IssuingAuthority; readonly signer: Signer };

/**
 * A delegated responder (RFC 6960 section 4.2.2.2) of this authority. @throws issuance-refused
 */
export async function issueOcspSigner(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  authority: IssuingAuthority,
  now: Instant,
): Promise<OcspSigner> {
  const { issued, privateKey } = await issueSigner(deps, { authority, profile: 'ocsp-signer', protocol: 'ocsp' }, now);
  const { certificate: issuer } = authority;
  const responder = parseCertificate(issued.der);
  return {
    authority,
    issuer,
    issuerHashes: { sha1: issuerHashesOf(issuer, 'sha1'), sha256: issuerHashesOf(issuer, 'sha256') },
    responder,
    // RFC 6960 section 4.2.1 fixes SHA-1 here, as a name and not as a proof.
    responderKeyHash: createHash('sha1').update(responder.keyOctets).digest(),
    signer: makeSoftwareSigner(new Secret<Uint8Array>(privateKey.export({ type: 'pkcs8', format: 'der' }))),
  };
}
