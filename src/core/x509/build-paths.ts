import type { KeyObject } from 'node:crypto';
import { type Certificate, certificateKey, findExtension } from './certificate.ts';
import { equalOctets } from './der.ts';
import { comparableName, sameName } from './name.ts';
import { oids } from './oid.ts';
import { isUsableKey } from './public-key.ts';
import { isSlhDsa } from './slh-dsa.ts';
import { verifySignature } from './signature-algorithm.ts';

/** Bounds of the work that one stranger's chain can cause. */
export type PathLimits = {
  /** Certificates of a path, leaf and anchor included. */
  readonly maxCertificates: number;
  /** Signature checks over all paths tried, certificate lists among them; each costs some 0.1 ms. */
  readonly maxSignatures: number;
  /** Issuers looked at over all paths tried. */
  readonly maxSteps: number;
  /** Comparisons of a name with a name constraint. */
  readonly maxNameComparisons: number;
  /** Nodes and edges of policy graphs. */
  readonly maxPolicyNodes: number;
};

export const defaultPathLimits: PathLimits = {
  maxCertificates: 10,
  maxSignatures: 64,
  maxSteps: 2_000,
  maxNameComparisons: 250_000,
  maxPolicyNodes: 100_000,
};

/** Work that is left; below zero a limit was passed. */
export type PathWork = { signatures: number; steps: number };

/** Certificates to build from, in any order, useless ones among them, and those of them that lead to an anchor by name. */
export type CertificatePool = {
  readonly anchors: readonly Certificate[];
  /** Issuers by the comparable form of their subject: anchors first. */
  readonly bySubject: ReadonlyMap<string, readonly Certificate[]>;
};

/** Sorts the certificates by name and leaves out those from which no chain of names reaches an anchor, whatever their signatures. */
export function poolCertificates(anchors: readonly Certificate[], intermediates: readonly Certificate[]): CertificatePool {
  const bySubject = new Map<string, Certificate[]>();
  const byIssuer = new Map<string, Certificate[]>();
  for (const certificate of intermediates) pushTo(byIssuer, comparableName(certificate.issuer), certificate);
  for (const anchor of anchors) pushTo(bySubject, comparableName(anchor.subject), anchor);
  const reached = [...bySubject.keys()];
  for (let name = reached.pop(); name !== undefined; name = reached.pop()) {
    for (const certificate of byIssuer.get(name) ?? []) {
      const subject = comparableName(certificate.subject);
      if (!bySubject.has(subject)) reached.push(subject);
      pushTo(bySubject, subject, certificate);
    }
    byIssuer.delete(name);
  }
  return { anchors, bySubject };
}

export type PathSearch = {
  readonly pool: CertificatePool;
  readonly maxCertificates: number;
  readonly work: PathWork;
  /** False: the certificate can be in no valid path, and none is built through it. */
  readonly mayIssue: (issuer: Certificate, isAnchor: boolean) => boolean;
  /** True ends the search: the path, leaf first and anchor last, is good. */
  readonly accept: (path: readonly Certificate[]) => boolean;
};

/** Depth first: the first path from the leaf to an anchor that is accepted, or null (RFC 4158). */
export function findPath(search: PathSearch, leaf: Certificate): readonly Certificate[] | null {
  return extend(search, [leaf]);
}

function extend(search: PathSearch, path: readonly Certificate[]): readonly Certificate[] | null {
  const { pool, work } = search;
  const top = path[path.length - 1]!;
  if (pool.anchors.some((anchor) => equalOctets(anchor.der, top.der))) return search.accept(path) ? path : null;
  if (path.length >= search.maxCertificates) return null;
  for (const issuer of candidates(pool, top)) {
    if (--work.steps < 0) return null;
    const isAnchor = pool.anchors.includes(issuer);
    if (isRepeated(path, issuer) || !search.mayIssue(issuer, isAnchor) || !isSignedBy(work, top, issuer)) continue;
    const longer = [...path, issuer];
    const found = isAnchor ? (search.accept(longer) ? longer : null) : extend(search, longer);
    if (found) return found;
  }
  return null;
}

/** Certificates whose subject is the issuer's name, those with the key identifier asked for first, and among equals the anchors. */
function candidates({ bySubject }: CertificatePool, child: Certificate): readonly Certificate[] {
  const named = bySubject.get(comparableName(child.issuer)) ?? [];
  if (child.authorityKeyId === null || named.length < 2) return named;
  // A hint only: key identifiers are no part of validation (RFC 5280 section 4.2.1.1).
  const isHinted = ({ subjectKeyId }: Certificate): boolean => subjectKeyId === child.authorityKeyId;
  return [...named.filter(isHinted), ...named.filter((candidate) => !isHinted(candidate))];
}

/** The same names and key twice is a loop, whatever certificates it runs through (RFC 4158 section 5.2). */
function isRepeated(path: readonly Certificate[], issuer: Certificate): boolean {
  return path.some(
    (certificate) =>
      certificate.spkiSha256 === issuer.spkiSha256 &&
      sameName(certificate.subject, issuer.subject) &&
      equalOctets(alternativeNames(certificate), alternativeNames(issuer)),
  );
}

function alternativeNames(certificate: Certificate): Uint8Array {
  return findExtension(certificate, oids.subjectAltName)?.value ?? NONE;
}

/** What has an issuer's signature: a certificate or a certificate list. */
export type SignedObject = Pick<Certificate, 'tbs' | 'signature' | 'signatureAlgorithm'>;

/** True if the issuer's key made the signature; false also when no check is left. */
export function isSignedBy(work: PathWork, signed: SignedObject, issuer: Certificate): boolean {
  const known = verified.get(signed)?.get(issuer);
  if (known !== undefined) return known;
  if (signed.signatureAlgorithm === null || !isUsableKey(issuer.publicKey)) return false;
  work.signatures -= isSlhDsa(signed.signatureAlgorithm) ? SLH_DSA_CHECKS : 1;
  if (work.signatures < 0) return false;
  const key = tryKey(issuer);
  const good = key !== null && verifySignature(signed.signatureAlgorithm, key, signed.tbs, signed.signature);
  const kept = verified.get(signed) ?? new WeakMap<Certificate, boolean>();
  verified.set(signed, kept.set(issuer, good));
  return good;
}

/** Null for octets that only look like a key, such as a point off its curve. */
function tryKey(certificate: Certificate): KeyObject | null {
  try {
    return certificateKey(certificate);
  } catch {
    return null;
  }
}

function pushTo(map: Map<string, Certificate[]>, key: string, certificate: Certificate): void {
  const list = map.get(key);
  if (list) list.push(certificate);
  else map.set(key, [certificate]);
}

/** What was verified once for two objects at hand stays so: a proxy holds its bundle's intermediates for long. */
const verified = new WeakMap<SignedObject, WeakMap<Certificate, boolean>>();
const NONE = new Uint8Array();
/** A signature of SLH-DSA takes up to 10 ms to verify, as long as a hundred others; ten keep a path of several possible. */
const SLH_DSA_CHECKS = 10;
