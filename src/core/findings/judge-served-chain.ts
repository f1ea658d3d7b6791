import { Problem } from '../problems/problem.ts';
import { DAY_MS, type Instant } from '../time/instant.ts';
import { tiers, type Policy } from '../policy/policy.ts';
import { isSignedBy } from '../x509/build-paths.ts';
import { type Certificate, parseCertificate } from '../x509/certificate.ts';
import { certificateLimits, DerReader, equalOctets, tags } from '../x509/der.ts';
import { judgeByResponse } from '../x509/judge-status.ts';
import { lintAnyCertificate } from '../x509/lint-any-certificate.ts';
import { sameName } from '../x509/name.ts';
import { readOid } from '../x509/oid.ts';
import { isUsableKey, type PublicKeyKind } from '../x509/public-key.ts';
import { presentsIdentity, type ReferenceIdentity } from '../x509/service-identity.ts';
import { demandsStaple } from '../x509/tls-feature.ts';
import { verifyPath } from '../x509/verify-path.ts';
import { findRsaWeakness } from '../x509/weak-rsa-key.ts';
import { type Finding, makeFinding } from './finding.ts';
import type { PostureDemands } from './posture-demands.ts';
import type { ServedChain } from './posture.ts';

/** Holds one chain that an endpoint serves against time, name, trust and the rules of its certificates. */
export function judgeServedChain(now: Instant, { certificates: served, staple }: ServedChain, demands: PostureDemands): readonly Finding[] {
  const chain: Certificate[] = [];
  const findings: Finding[] = [];
  for (const der of served) {
    const certificate = readTolerantly(der);
    if (certificate === null) findings.push(makeFinding('certificate-malformed', `certificate ${chain.length + 1} of the chain is no DER`));
    else chain.push(certificate);
  }
  const [leaf] = chain;
  if (leaf === undefined || findings.length > 0) return findings;
  const weak = chain.flatMap((certificate, at) => judgeStrength(certificate, at === 0));
  return [
    ...chain.flatMap((certificate) => judgeTime(now, certificate, demands)),
    ...judgeName(leaf, demands.identity),
    ...weak,
    // Nothing verifies a signature that is worth nothing; that is said already.
    ...(weak.length > 0 ? [] : judgeTrust(now, chain, demands.anchors)),
    ...judgeOrder(chain),
    ...judgeForm(leaf, chain[1] ?? null),
    ...judgeStaple(now, { leaf, issuer: chain.find((other) => sameName(other.subject, leaf.issuer)) ?? null, staple }),
  ];
}

/** Forms that are not strict DER are faults of the form, and the rest can be judged all the same; null: nothing can. */
function readTolerantly(der: Uint8Array): Certificate | null {
  try {
    return parseCertificate(der, { ...certificateLimits, faults: [] });
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

function judgeTime(now: Instant, certificate: Certificate, { policy, expiresWithinMs }: PostureDemands): readonly Finding[] {
  const { notBefore, notAfter } = certificate;
  const called = describe(certificate);
  if (now > notAfter) return [makeFinding('certificate-expired', `${called} expired ${timeOf(notAfter)}`)];
  if (now < notBefore) return [makeFinding('certificate-not-yet-valid', `${called} is valid from ${timeOf(notBefore)}`)];
  const within = expiresWithinMs ?? usualWarningMs(notAfter - notBefore, policy);
  return notAfter - now < within ? [makeFinding('certificate-expiring', `${called} expires ${timeOf(notAfter)}`)] : [];
}

/** Half of the time that is left when renewal is due: whoever renews in time never comes so near. */
function usualWarningMs(lifeMs: number, { certificates: { renewAtPermille } }: Policy): number {
  const latest = Math.max(...tiers.map((tier) => renewAtPermille[tier]));
  return Math.min(MAXIMUM_WARNING_MS, (lifeMs * (1_000 - latest)) / 2_000);
}

function judgeName(leaf: Certificate, identity: ReferenceIdentity | null): readonly Finding[] {
  if (identity === null || presentsIdentity(leaf, identity)) return [];
  const { dns, ip, uri } = leaf.subjectAltNames;
  const names = [...dns, ...ip, ...uri];
  return [makeFinding('name-mismatch', `called by ${nameOf(identity)}, the certificate is for ${list(names)}`)];
}

function nameOf(identity: ReferenceIdentity): string {
  switch (identity.kind) {
    case 'dns':
      return identity.name;
    case 'ip':
      return identity.address;
    case 'uri':
      return identity.uri;
    case 'email':
      return `${identity.mailbox.local}@${identity.mailbox.host}`;
    default:
      return identity satisfies never;
  }
}

/** A root that signs itself is trusted by what it is, not by its signature (RFC 8446 section 4.4.2.2). */
function judgeStrength(certificate: Certificate, isLeaf: boolean): readonly Finding[] {
  const called = describe(certificate);
  const key = weaknessOf(certificate);
  const isRoot = !isLeaf && sameName(certificate.issuer, certificate.subject);
  const broken = isRoot ? undefined : brokenSignatures.get(readSignatureOid(certificate));
  return [
    ...(key === null ? [] : [makeFinding('key-weak', `${called}: ${key}`)]),
    ...(broken === undefined ? [] : [makeFinding('signature-weak', `${called}: ${broken}`)]),
  ];
}

function weaknessOf({ publicKey, keyOctets }: Certificate): string | null {
  if (!isUsableKey(publicKey)) return keyText(publicKey);
  if (publicKey.kind !== 'rsa') return null;
  const weakness = findRsaWeakness(keyOctets);
  return weakness === null ? null : `${keyText(publicKey)}, ${weakness}`;
}

function keyText(key: PublicKeyKind): string {
  if (key.kind === 'rsa') return `RSA of ${key.bits} bits, exponent ${key.exponent}`;
  return key.kind === 'unknown' ? `a key of an uncommon kind (${key.algorithm})` : key.kind;
}

function readSignatureOid({ signatureAlgorithmDer }: Certificate): string {
  return readOid(DerReader.over(signatureAlgorithmDer).enter(tags.sequence));
}

/** At a time when the leaf is valid: that it is not now is another finding. */
function judgeTrust(now: Instant, chain: readonly Certificate[], anchors: readonly Certificate[] | null): readonly Finding[] {
  const [leaf, ...others] = chain as [Certificate, ...Certificate[]];
  if (anchors === null || anchors.some((anchor) => equalOctets(anchor.der, leaf.der))) return [];
  if (isSelfSigned(leaf)) return [makeFinding('self-signed', describe(leaf))];
  const at = Math.min(Math.max(now, leaf.notBefore), leaf.notAfter);
  const verdict = verifyPath({ leaf, intermediates: others, anchors, usage: 'server', now: at });
  if (verdict.kind === 'valid' || verdict.reason === 'expired' || verdict.reason === 'not-yet-valid') return [];
  const isIssuerKnown = [...others, ...anchors].some(({ subject }) => sameName(subject, leaf.issuer));
  if (!isIssuerKnown) return [makeFinding('chain-incomplete', `${describe(leaf)} is issued by ${leaf.issuer.text}, which is not served`)];
  return [makeFinding('chain-untrusted', `${describe(leaf)}: ${verdict.detail} (${verdict.reason})`)];
}

function isSelfSigned(certificate: Certificate): boolean {
  const work = { signatures: 1, steps: 1 };
  return sameName(certificate.issuer, certificate.subject) && isSignedBy(work, certificate, certificate);
}

function judgeOrder(chain: readonly Certificate[]): readonly Finding[] {
  const at = chain.findIndex((certificate, index) => index > 0 && !sameName(chain[index - 1]!.issuer, certificate.subject));
  return at === -1 ? [] : [makeFinding('chain-order', `certificate ${at + 1}, ${describe(chain[at]!)}, did not issue the one before it`)];
}

/** Errors only: what binds public authorities alone is no matter here, and strength is judged above. */
function judgeForm(leaf: Certificate, next: Certificate | null): readonly Finding[] {
  const issuer = next !== null && sameName(next.subject, leaf.issuer) ? next : null;
  return lintAnyCertificate(leaf.der, { issuer, blockedKeys: NO_KEYS })
    .filter(({ level, rule }) => level === 'error' && !rule.startsWith('key-') && !rule.startsWith('signature'))
    .map(({ rule, message, clause }) => makeFinding('certificate-lint', `${rule}: ${message}`, clause));
}

type Stapled = { readonly leaf: Certificate; readonly issuer: Certificate | null; readonly staple: Uint8Array | null };

function judgeStaple(now: Instant, { leaf, issuer, staple }: Stapled): readonly Finding[] {
  if (staple === null) return demandsStaple(leaf) ? [makeFinding('staple-missing', describe(leaf))] : [];
  // Who signed it cannot be seen without the issuer.
  if (issuer === null) return [];
  const standing = standingBy(now, staple, { leaf, issuer });
  if (standing.kind === 'good') return [];
  if (standing.kind === 'revoked')
    return [makeFinding('certificate-revoked', `${describe(leaf)} since ${timeOf(standing.at)}, ${standing.reason}`)];
  return [makeFinding('staple-invalid', `${describe(leaf)}: ${standing.detail}`)];
}

function standingBy(...[now, staple, subject]: Parameters<typeof judgeByResponse>): ReturnType<typeof judgeByResponse> {
  try {
    return judgeByResponse(now, staple, subject);
  } catch (error) {
    if (error instanceof Problem) return { kind: 'unknown', detail: 'the response is malformed' };
    throw error;
  }
}

function describe({ subject, subjectAltNames: { dns, uri, ip }, serialHex }: Certificate): string {
  const name = dns[0] ?? uri[0] ?? ip[0] ?? subject.text;
  return `${name.slice(0, MAXIMUM_NAME)} (serial ${serialHex})`;
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'no name';
  const shown = names.slice(0, 5).join(', ');
  return (names.length > 5 ? `${shown} and ${names.length - 5} more` : shown).slice(0, 5 * MAXIMUM_NAME);
}

function timeOf(instant: Instant): string {
  return `${new Date(instant).toISOString().slice(0, 19)}Z`;
}

const NO_KEYS: ReadonlySet<string> = new Set();
const MAXIMUM_WARNING_MS = 14 * DAY_MS;
const MAXIMUM_NAME = 100;
/** PKCS#1 (RFC 8017), ECDSA and DSA (RFC 3279, RFC 5758) with hashes for which collisions can be made. */
const brokenSignatures: ReadonlyMap<string, string> = new Map([
  ['1.2.840.113549.1.1.2', 'RSA with MD2'],
  ['1.2.840.113549.1.1.4', 'RSA with MD5'],
  ['1.2.840.113549.1.1.5', 'RSA with SHA-1'],
  ['1.3.14.3.2.29', 'RSA with SHA-1'],
  ['1.2.840.10045.4.1', 'ECDSA with SHA-1'],
  ['1.2.840.10040.4.3', 'DSA with SHA-1'],
]);
