import { createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import { DAY_MS } from '../../core/time/instant.ts';
import { assembleCertificate, buildTbsCertificate, type TbsFields } from '../../core/x509/build-certificate.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { buildName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import { keyIdentifierOf, parseSubjectPublicKey } from '../../core/x509/public-key.ts';
import { signatureAlgorithmFor, signatureParameters } from '../../core/x509/signature-algorithm.ts';

/**
 * The same certificate as the good one, for the same key, signed by an authority that nobody trusts:
 * the drill differs from the positive handshake in who signed, and in nothing else.
 * @param makeKey makes the foreign authority's key; it is forgotten with the call
 */
export async function signByForeignAuthority(good: Certificate, makeKey: () => Promise<KeyObject>): Promise<readonly Uint8Array[]> {
  const key = await makeKey();
  const name = buildName([[oids.commonName, 'Foreign drill authority']]);
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const identifier = keyIdentifierOf(parseSubjectPublicKey(spki));
  const shared = { signatureAlgorithm: signatureAlgorithmFor(key), issuer: name };
  const authority = signTbs(key, {
    ...shared,
    serial: newSerial(),
    subject: name,
    notBefore: good.notBefore - DAY_MS,
    notAfter: good.notAfter + DAY_MS,
    spki,
    basicConstraints: { ca: true, pathLength: null },
    keyUsage: ['keyCertSign', 'cRLSign'],
    extendedKeyUsage: [],
    subjectKeyId: identifier,
  });
  const leaf = signTbs(key, {
    ...shared,
    serial: newSerial(),
    subject: good.subject,
    notBefore: good.notBefore,
    notAfter: good.notAfter,
    spki: good.spki,
    basicConstraints: { ca: false, pathLength: null },
    keyUsage: [...(good.keyUsage ?? [])],
    extendedKeyUsage: good.extendedKeyUsage ?? [],
    subjectAltNames: good.subjectAltNames,
    authorityKeyId: identifier,
  });
  return [leaf, authority];
}

function signTbs(key: KeyObject, fields: TbsFields): Uint8Array {
  const tbs = buildTbsCertificate(fields);
  const { hash, options } = signatureParameters(fields.signatureAlgorithm);
  return assembleCertificate(tbs, fields.signatureAlgorithm, sign(hash, tbs, { key, ...options }));
}

function newSerial(): Uint8Array {
  return Buffer.concat([Buffer.from([1]), randomBytes(16)]);
}

/** The certificate of a chain that is the leaf. @throws der-malformed */
export function leafOf(chain: readonly Uint8Array[]): Certificate {
  return parseCertificate(chain[0] ?? new Uint8Array());
}
