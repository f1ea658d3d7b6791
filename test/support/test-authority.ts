import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { parseIpAddress } from '../../src/core/identity/ip-address.ts';
import { DAY_MS, HOUR_MS, type Instant } from '../../src/core/time/instant.ts';
import { assembleCertificate, buildTbsCertificate } from '../../src/core/x509/build-certificate.ts';
import { type Certificate, parseCertificate } from '../../src/core/x509/certificate.ts';
import { encodeDer } from '../../src/core/x509/der-writer.ts';
import { buildName } from '../../src/core/x509/name.ts';
import { certIdNode, issuerHashesOf } from '../../src/core/x509/ocsp-cert-id.ts';
import { assembleOcspResponse, buildTbsOcspResponse, type OcspStatus } from '../../src/core/x509/ocsp-response.ts';
import { oids } from '../../src/core/x509/oid.ts';
import { keyIdentifierOf, parseSubjectPublicKey } from '../../src/core/x509/public-key.ts';
import { signatureAlgorithmFor, signatureParameters } from '../../src/core/x509/signature-algorithm.ts';

/** A key with its certificate, and what a server or client sends of it. */
export type TestCredential = {
  readonly key: KeyObject;
  readonly certificate: Certificate;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** The same with the root last, as the control plane's listener sends it. */
  readonly fullChain: readonly Uint8Array[];
};

export type TestLeaf = {
  /** SPIFFE ID or other URIs. */
  readonly uris?: readonly string[];
  readonly ips?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly usages?: readonly ('client' | 'server')[];
  readonly notBefore?: Instant;
  readonly notAfter?: Instant;
  /** Whose public key is certified; a fresh pair if absent. */
  readonly publicKey?: KeyObject;
  /** Where it says that its status can be asked. */
  readonly ocspUri?: string;
  readonly crlUri?: string;
  /** RFC 7633: it demands a stapled answer. */
  readonly mustStaple?: boolean;
  /** Its key usage allows the signing of lists too. */
  readonly signsLists?: boolean;
};

/** What an OCSP response of a test authority says, of a certificate that it issued or of another. */
export type TestAnswer = {
  readonly status?: OcspStatus;
  readonly thisUpdate?: Instant;
  readonly nextUpdate?: Instant;
};

/** A real CA for tests: a P-256 root and an issuing CA below it. Its certificates are as good as the product's own. */
export type TestAuthority = {
  readonly root: Certificate;
  readonly issuing: Certificate;
  issue(leaf: TestLeaf): TestCredential;
  /** An OCSP response about the certificate, signed by the issuing CA itself: good for an hour on unless said otherwise. */
  answerAbout(certificate: Certificate, answer?: TestAnswer): Uint8Array;
  /** The issuing CA's key, for programs that answer in its name. */
  readonly issuingKey: KeyObject;
};

/** Makes a CA whose certificates are valid around `now`. */
export function makeTestAuthority(now: Instant, name = 'Test'): TestAuthority {
  const rootKey = newKey();
  const validity = { notBefore: now - DAY_MS, notAfter: now + 365 * DAY_MS };
  const root = certify({ name: `${name} Root`, publicKey: createPublicKey(rootKey), ca: 1, ...validity }, null, rootKey);
  const issuingKey = newKey();
  const issuing = certify({ name: `${name} Issuing`, publicKey: createPublicKey(issuingKey), ca: 0, ...validity }, root, rootKey);
  return {
    root,
    issuing,
    issue(leaf) {
      const key = newKey();
      const certificate = certify(
        { notBefore: now - HOUR_MS, notAfter: now + DAY_MS, ...leaf, publicKey: leaf.publicKey ?? createPublicKey(key), ca: null },
        issuing,
        issuingKey,
      );
      return { key, certificate, chain: [certificate.der, issuing.der], fullChain: [certificate.der, issuing.der, root.der] };
    },
    answerAbout: (certificate, answer = {}) => answerAbout(now, certificate, { issuing, issuingKey, ...answer }),
    issuingKey,
  };
}

/** An OCSP response about a certificate by the authority that issued it, as DER. */
export function answerAbout(
  now: Instant,
  { serial }: Certificate,
  { issuing, issuingKey, ...answer }: TestAnswer & { readonly issuing: Certificate; readonly issuingKey: KeyObject },
): Uint8Array {
  const { status = { kind: 'good' }, thisUpdate = now, nextUpdate = now + HOUR_MS } = answer;
  const algorithm = signatureAlgorithmFor(issuingKey);
  const tbs = buildTbsOcspResponse({
    responderKeyHash: createHash('sha1').update(issuing.keyOctets).digest(),
    producedAt: thisUpdate,
    answers: [{ certId: encodeDer(certIdNode('sha1', issuerHashesOf(issuing, 'sha1'), serial)), status, thisUpdate, nextUpdate }],
    nonce: null,
    extendedRevoke: false,
  });
  const { hash, options } = signatureParameters(algorithm);
  return assembleOcspResponse(tbs, algorithm, sign(hash, tbs, { key: issuingKey, ...options }), issuing.der);
}

type Certified = TestLeaf & {
  readonly name?: string;
  readonly publicKey: KeyObject;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  /** Path length of a CA, null for a leaf. */
  readonly ca: number | null;
};

function certify(fields: Certified, issuer: Certificate | null, issuerKey: KeyObject): Certificate {
  const { ca, uris = [], ips = [], dnsNames = [], usages = ['client', 'server'] } = fields;
  const subject = buildName(fields.name === undefined ? [] : [[oids.commonName, fields.name]]);
  const signatureAlgorithm = signatureAlgorithmFor(issuerKey);
  const spki = fields.publicKey.export({ format: 'der', type: 'spki' });
  const tbs = buildTbsCertificate({
    serial: Buffer.concat([Buffer.from([0x40]), randomBytes(15)]),
    signatureAlgorithm,
    issuer: issuer?.subject ?? subject,
    subject,
    // X.509 times have whole seconds.
    notBefore: Math.floor(fields.notBefore / 1000) * 1000,
    notAfter: Math.floor(fields.notAfter / 1000) * 1000,
    spki,
    basicConstraints: ca === null ? { ca: false, pathLength: null } : { ca: true, pathLength: ca },
    keyUsage:
      ca === null ? ['digitalSignature', ...(fields.signsLists === true ? (['cRLSign'] as const) : [])] : ['keyCertSign', 'cRLSign'],
    extendedKeyUsage: ca === null ? usages.map((usage) => (usage === 'client' ? oids.clientAuth : oids.serverAuth)) : [],
    ...(ca === null ? { subjectAltNames: { uri: uris, ip: ips.map(parseIpAddress), dns: dnsNames } } : {}),
    ...(fields.ocspUri === undefined ? {} : { ocspUri: fields.ocspUri }),
    ...(fields.crlUri === undefined ? {} : { crlUri: fields.crlUri }),
    ...(fields.mustStaple === true ? { furtherExtensions: [MUST_STAPLE] } : {}),
    subjectKeyId: keyIdentifierOf(parseSubjectPublicKey(spki)),
    ...(issuer === null ? {} : { authorityKeyId: keyIdentifierOf(parseSubjectPublicKey(issuer.spki)) }),
  });
  const { hash, options } = signatureParameters(signatureAlgorithm);
  return parseCertificate(new Uint8Array(assembleCertificate(tbs, signatureAlgorithm, sign(hash, tbs, { key: issuerKey, ...options }))));
}

/** `Features ::= SEQUENCE OF INTEGER`, of which 5 is status_request (RFC 7633 section 4). */
const MUST_STAPLE = { oid: '1.3.6.1.5.5.7.1.24', critical: false, value: Uint8Array.of(0x30, 3, 2, 1, 5) };

function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}
