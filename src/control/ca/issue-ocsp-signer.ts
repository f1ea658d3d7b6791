import { createHash, generateKeyPairSync } from 'node:crypto';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { OcspSpeaker } from '../../core/x509/lint-ocsp-response.ts';
import { buildName } from '../../core/x509/name.ts';
import { issuerHashesOf } from '../../core/x509/ocsp-cert-id.ts';
import { oids } from '../../core/x509/oid.ts';
import type { Signer } from '../../platform/signer/signer.ts';
import { makeSoftwareSigner } from '../../platform/signer/software-signer.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import { issueCertificate } from './issue-certificate.ts';

/** Who answers for one authority in this process. */
export type OcspSigner = OcspSpeaker & { readonly authority: IssuingAuthority; readonly signer: Signer };

/**
 * A delegated responder (RFC 6960 section 4.2.2.2) of this authority, for a key that is made here, never stored, and new each time: every process
 * has its own, and the authority's key never meets a question from outside. @throws issuance-refused
 */
export async function issueOcspSigner(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  authority: IssuingAuthority,
  now: Instant,
): Promise<OcspSigner> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = parseCertificateRequest(buildCertificateRequest({}, privateKey));
  const { environment, region, certificate: issuer } = authority;
  const { der } = await issueCertificate(
    deps,
    {
      door: 'control-plane',
      profile: 'ocsp-signer',
      asker: { role: 'control-plane', scope: '*', spiffeId: null },
      actor: { kind: 'system', name: 'ocsp' },
      csr,
      spiffeId: null,
      names: { dns: [], ip: [] },
      proxyId: null,
      environment,
      region,
      issuerId: authority.id,
      distinguishedName: buildName([[oids.commonName, `Countersign OCSP ${csr.spkiSha256.slice(0, 12)}`]]),
    },
    now,
  );
  const responder = parseCertificate(der);
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
