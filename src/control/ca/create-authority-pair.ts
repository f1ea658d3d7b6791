import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { decideIssuance } from '../../core/issuance/decide-issuance.ts';
import { profiles } from '../../core/issuance/profile.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { assembleCertificate, buildTbsCertificate } from '../../core/x509/build-certificate.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { noNames } from '../../core/x509/general-name.ts';
import { lintTbsCertificate } from '../../core/x509/lint-certificate.ts';
import { buildName, type Name } from '../../core/x509/name.ts';
import type { NameConstraints } from '../../core/x509/name-constraints.ts';
import { oids } from '../../core/x509/oid.ts';
import { parseSubjectPublicKey, sha256Hex } from '../../core/x509/public-key.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { sealKey } from '../../platform/signer/key-envelope.ts';
import type { Signer } from '../../platform/signer/signer.ts';
import { makeSoftwareSigner } from '../../platform/signer/software-signer.ts';
import type { AuthorityRecord } from './authority-store.ts';
import { crlPath, OCSP_PATH } from './crl-path.ts';
import { IssuanceRefused } from './issuance-refused.ts';
import type { KeyRecord } from './key-store.ts';
import { newSerialNumber } from './serial-number.ts';

/** The kinds of keys that an authority may have. */
export const authorityKeyTypes = ['P-256', 'P-384', 'Ed25519', 'RSA-3072'] as const;
export type AuthorityKeyType = (typeof authorityKeyTypes)[number];

export type AuthorityPairRequest = {
  readonly trustDomain: TrustDomain;
  /** The one environment that the issuing authority serves, or `*` for all. */
  readonly environment: string;
  readonly region: string;
  readonly keyType: AuthorityKeyType;
  /** Base URL of the public listener, such as `http://127.0.0.1:8080`; null: neither CRL nor OCSP is told of. */
  readonly crlBaseUrl: string | null;
  /** Into how many lists revocations are divided, 1 to 1,024; one if absent. */
  readonly crlShards?: number;
  /** What the issuing authority may certify, to be held to by everybody who validates (RFC 5280 section 4.2.1.10); absent: any name. */
  readonly nameConstraints?: NameConstraints;
};

/** An authority with its key, not stored yet. */
export type NewAuthority = { readonly authority: AuthorityRecord; readonly key: KeyRecord; readonly certificate: Certificate };

/** Makes a root and an issuing authority below it, in memory: nothing is trusted until both are stored. @throws issuance-refused */
export async function createAuthorityPair(
  kek: KeyEncryptionKey,
  request: AuthorityPairRequest,
  now: Instant,
): Promise<{ readonly root: NewAuthority; readonly issuing: NewAuthority }> {
  const root = await createAuthority(kek, request, null, now);
  const issuing = await createAuthority(kek, request, root, now);
  return { root: root.made, issuing: issuing.made };
}

type Opened = { readonly made: NewAuthority; readonly signer: Signer };

async function createAuthority(kek: KeyEncryptionKey, request: AuthorityPairRequest, parent: Opened | null, now: Instant): Promise<Opened> {
  const { trustDomain, environment, region, crlBaseUrl, crlShards = 1 } = request;
  const kind = parent === null ? 'root' : 'issuing';
  const id = newEntityId('authority', now);
  const privateKey = new Secret<Uint8Array>(generateAuthorityKey(request.keyType).export({ type: 'pkcs8', format: 'der' }));
  const signer = makeSoftwareSigner(privateKey);
  const spki = signer.publicKey.export({ type: 'spki', format: 'der' });
  const der = await certify({ kind, name: nameOf(kind, id, trustDomain), spki }, request, parent ?? { made: null, signer }, now);
  const certificate = parseCertificate(der);
  const keyId = newEntityId('key', now);
  const key: KeyRecord = {
    id: keyId,
    ownerId: id,
    purpose: kind,
    environment,
    region,
    spki,
    envelope: sealKey(kek, { ownerId: id, purpose: kind }, privateKey),
    createdAt: now,
  };
  const authority: AuthorityRecord = {
    id,
    kind,
    parentId: parent?.made.authority.id ?? null,
    trustDomain,
    environment,
    region,
    keyId,
    spkiSha256: certificate.spkiSha256,
    certificate: der,
    crlUrl: kind === 'root' || crlBaseUrl === null ? null : new URL(crlPath(id), crlBaseUrl).href,
    crlShards: kind === 'root' ? 1 : crlShards,
    ocspUrl: kind === 'root' || crlBaseUrl === null ? null : new URL(OCSP_PATH, crlBaseUrl).href,
    status: 'active',
    createdAt: now,
    notAfter: certificate.notAfter,
  };
  return { made: { authority, key, certificate }, signer };
}

/** The certificate of an authority, by the same evaluator and lint as every other. */
async function certify(
  subject: { readonly kind: 'root' | 'issuing'; readonly name: Name; readonly spki: Uint8Array },
  { trustDomain, environment, nameConstraints }: AuthorityPairRequest,
  parent: { readonly made: NewAuthority | null; readonly signer: Signer },
  now: Instant,
): Promise<Uint8Array> {
  const issuer = parent.made?.certificate ?? null;
  const key = { spki: subject.spki, spkiSha256: sha256Hex(subject.spki), publicKeyKind: parseSubjectPublicKey(subject.spki).kind };
  const decision = decideIssuance(
    now,
    profiles[subject.kind],
    {
      door: 'control-plane',
      asker: { role: 'control-plane', scope: '*', spiffeId: null },
      environment,
      key: { ...key, subject: buildName([]), subjectAltNames: noNames },
      spiffeId: null,
      dnsNames: [],
      ipAddresses: [],
      authorityName: subject.name,
    },
    { trustDomain, issuer, issuerEnvironment: environment, crlUri: null, identitySuspended: false, keyBlocked: false },
  );
  if (decision.kind === 'refuse') throw new IssuanceRefused(decision.reasons.map(({ rule, message }) => `${rule}: ${message}`));
  if (decision.kind === 'order') throw new Error('an authority of ours signs, it orders nothing');
  const { algorithm } = parent.signer;
  const constraints = subject.kind === 'issuing' && nameConstraints ? { nameConstraints } : {};
  const tbs = buildTbsCertificate({
    ...decision.template.fields,
    ...constraints,
    serial: newSerialNumber(),
    signatureAlgorithm: algorithm,
  });
  const lint = lintTbsCertificate(tbs, issuer, { now, exceptions: [] });
  if (lint.kind === 'faulty')
    throw new IssuanceRefused(lint.findings.map(({ rule, clause, message }) => `lint ${rule} (${clause}): ${message}`));
  return assembleCertificate(tbs, algorithm, await parent.signer.sign(lint.tbs));
}

/** No two authorities share a name: revocation and path building go by it (RFC 5280 section 4.1.2.4). */
function nameOf(kind: 'root' | 'issuing', id: EntityId<'authority'>, trustDomain: TrustDomain): Name {
  const tag = createHash('sha256').update(id).digest('hex').slice(0, 12);
  const organization = trustDomain.length <= MAXIMUM_ATTRIBUTE ? trustDomain : `${trustDomain.slice(0, MAXIMUM_ATTRIBUTE - 3)}...`;
  const commonName = `Countersign ${kind === 'root' ? 'Root' : 'Issuing'} CA ${tag}`;
  return buildName([
    [oids.organization, organization],
    [oids.commonName, commonName],
  ]);
}

function generateAuthorityKey(type: AuthorityKeyType): KeyObject {
  switch (type) {
    case 'P-256':
    case 'P-384':
      return generateKeyPairSync('ec', { namedCurve: type }).privateKey;
    case 'Ed25519':
      return generateKeyPairSync('ed25519').privateKey;
    case 'RSA-3072':
      return generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey;
    default:
      return type satisfies never;
  }
}

/** RFC 5280 appendix A: ub-organization-name and ub-common-name. */
const MAXIMUM_ATTRIBUTE = 64;
