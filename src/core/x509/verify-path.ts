import type { KeyObject } from 'node:crypto';
import type { Instant } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { type Certificate, certificateKey } from './certificate.ts';
import { equalOctets } from './der.ts';
import { judgePath, type PathFault, type PathUsage } from './judge-path.ts';
import type { ComparisonBudget } from './match-name-constraints.ts';
import { sameName } from './name.ts';
import { verifySignature } from './signature-algorithm.ts';

/** What is to be verified: intermediates in any order, useless ones among them; anchors as self-signed or any other CA certificates. */
export type PathRequest = {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  readonly usage: PathUsage;
  readonly now: Instant;
  readonly limits?: PathLimits;
};

/** Bounds of the work that one stranger's chain can cause. */
export type PathLimits = {
  /** Certificates of a path, leaf and anchor included. */
  readonly maxCertificates: number;
  /** Signature checks over all paths tried; each costs some 0.1 ms. */
  readonly maxSignatures: number;
  /** Issuers looked at over all paths tried. */
  readonly maxSteps: number;
  /** Comparisons of a name with a name constraint. */
  readonly maxNameComparisons: number;
};

export const defaultPathLimits: PathLimits = { maxCertificates: 10, maxSignatures: 64, maxSteps: 2_000, maxNameComparisons: 250_000 };

/** `path` is leaf first, anchor last; a leaf that is itself an anchor is a path of one. */
export type PathVerdict =
  | { readonly kind: 'valid'; readonly path: readonly Certificate[] }
  | { readonly kind: 'invalid'; readonly reason: RefusalReason; readonly detail: string };

/**
 * Finds a path from the leaf to an anchor and judges it (RFC 5280 section 6, building as in RFC 4158). All paths within the limits
 * are tried; when none is valid, the fault of the first complete one is told, as that is the one meant.
 */
export function verifyPath(request: PathRequest): PathVerdict {
  const limits = request.limits ?? defaultPathLimits;
  const search: Search = {
    ...request,
    limits,
    work: { signatures: limits.maxSignatures, steps: limits.maxSteps },
    names: { left: limits.maxNameComparisons },
    fault: null,
  };
  const path = extend(search, [request.leaf]);
  if (path) return { kind: 'valid', path };
  if (search.fault) return { kind: 'invalid', ...search.fault };
  if (search.work.signatures < 0 || search.work.steps < 0) {
    return { kind: 'invalid', reason: 'limit-exceeded', detail: 'no path found within the limits of the search' };
  }
  return { kind: 'invalid', reason: 'unknown-authority', detail: 'no path to an authority of the trust bundle' };
}

type Search = Omit<PathRequest, 'limits'> & {
  readonly limits: PathLimits;
  readonly work: { signatures: number; steps: number };
  readonly names: ComparisonBudget;
  fault: PathFault | null;
};

/** Depth first: the valid path that begins with these certificates, or null. */
function extend(search: Search, path: readonly Certificate[]): readonly Certificate[] | null {
  const top = path[path.length - 1]!;
  if (search.anchors.some((anchor) => equalOctets(anchor.der, top.der))) return judge(search, path);
  if (path.length >= search.limits.maxCertificates) return null;
  for (const issuer of candidates(search, top)) {
    if (--search.work.steps < 0) return null;
    if (isRepeated(path, issuer) || !isSignedBy(search, top, issuer)) continue;
    const longer = [...path, issuer];
    const found = search.anchors.includes(issuer) ? judge(search, longer) : extend(search, longer);
    if (found) return found;
  }
  return null;
}

function judge(search: Search, path: readonly Certificate[]): readonly Certificate[] | null {
  const fault = judgePath(search.now, path, search.usage, search.names);
  if (!fault) return path;
  search.fault ??= fault;
  return null;
}

/** Certificates whose subject is the issuer's name: anchors first, and among equals those with the key identifier asked for. */
function candidates({ anchors, intermediates }: Search, child: Certificate): readonly Certificate[] {
  const hinted: Certificate[] = [];
  const others: Certificate[] = [];
  for (const candidate of [...anchors, ...intermediates]) {
    if (!sameName(candidate.subject, child.issuer)) continue;
    // A hint only: key identifiers are no part of validation (RFC 5280 section 4.2.1.1).
    const matches = child.authorityKeyId === null || candidate.subjectKeyId === child.authorityKeyId;
    (matches ? hinted : others).push(candidate);
  }
  return [...hinted, ...others];
}

/** The same name and key twice is a loop, whatever certificates it runs through (RFC 4158 section 5.2). */
function isRepeated(path: readonly Certificate[], issuer: Certificate): boolean {
  return path.some((certificate) => certificate.spkiSha256 === issuer.spkiSha256 && sameName(certificate.subject, issuer.subject));
}

function isSignedBy({ work }: Search, child: Certificate, issuer: Certificate): boolean {
  const known = verified.get(child)?.get(issuer);
  if (known !== undefined) return known;
  if (child.signatureAlgorithm === null || !isUsableKey(issuer) || --work.signatures < 0) return false;
  const key = tryKey(issuer);
  const good = key !== null && verifySignature(child.signatureAlgorithm, key, child.tbs, child.signature);
  const kept = verified.get(child) ?? new WeakMap<Certificate, boolean>();
  verified.set(child, kept.set(issuer, good));
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

/** Keys too small to prove anything, or so large that verifying is the attack, sign nothing here. */
function isUsableKey({ publicKey }: Certificate): boolean {
  if (publicKey.kind !== 'rsa') return publicKey.kind !== 'unknown';
  return (
    publicKey.bits >= MIN_RSA_BITS &&
    publicKey.bits <= MAX_RSA_BITS &&
    publicKey.exponent % 2 === 1 &&
    publicKey.exponent <= MAX_RSA_EXPONENT
  );
}

/** What was verified once for two certificates at hand stays so: a proxy holds its bundle's intermediates for long. */
const verified = new WeakMap<Certificate, WeakMap<Certificate, boolean>>();
const MIN_RSA_BITS = 2_048;
const MAX_RSA_BITS = 8_192;
const MAX_RSA_EXPONENT = 2 ** 32;
