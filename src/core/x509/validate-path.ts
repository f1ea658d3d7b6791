import type { Instant } from '../time/instant.ts';
import { findPath, type PathLimits, type PathWork, poolCertificates } from './build-paths.ts';
import type { Certificate } from './certificate.ts';
import { type JudgeBudget, judgeCertificate, judgePath, judgePurposes, type PathDemands } from './judge-path.ts';
import type { PathFault } from './path-fault.ts';

/** What is to be validated: intermediates in any order, useless ones among them; anchors as self-signed or any other CA certificates. */
export type ValidationRequest = {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  readonly demands: PathDemands;
  readonly now: Instant;
  readonly limits: PathLimits;
};

/** `path` is leaf first, anchor last; a leaf that is itself an anchor is a path of one. */
export type ValidationVerdict =
  | { readonly kind: 'valid'; readonly path: readonly Certificate[] }
  | ({ readonly kind: 'invalid' } & PathFault);

/**
 * Finds a valid path from the leaf to an anchor (RFC 5280 section 6, building as in RFC 4158). Paths through certificates that can be in
 * no valid path are not built; only when there is no other are they looked at, to tell the fault of the first complete one.
 */
export function validatePath(request: ValidationRequest): ValidationVerdict {
  const { limits, now, demands } = request;
  const work: PathWork = { signatures: limits.maxSignatures, steps: limits.maxSteps };
  const budget: JudgeBudget = { names: { left: limits.maxNameComparisons }, policies: { left: limits.maxPolicyNodes } };
  const pool = poolCertificates(request.anchors, request.intermediates);
  const judged = new Map<Certificate, boolean>();
  const isSound = (issuer: Certificate, isAnchor: boolean): boolean => {
    const known = judged.get(issuer);
    if (known !== undefined) return known;
    const place = { leaf: false, anchor: isAnchor };
    const sound = !judgeCertificate(now, issuer, demands, place) && !judgePurposes(issuer, demands.purposes);
    judged.set(issuer, sound);
    return sound;
  };
  let fault: PathFault | null = null;
  const accept = (path: readonly Certificate[]): boolean => {
    const found = judgePath(now, path, demands, budget);
    fault ??= found;
    return found === null;
  };
  const search = { pool, maxCertificates: limits.maxCertificates, work, accept };
  const path = findPath({ ...search, mayIssue: isSound }, request.leaf);
  if (path) return { kind: 'valid', path };
  const passed = exhausted(work);
  // Only for its fault: nothing that is found here can be valid.
  if (!fault)
    findPath(
      { ...search, work: passed ? { signatures: 0, steps: limits.maxSteps } : work, mayIssue: () => true, accept: explain },
      request.leaf,
    );
  function explain(candidate: readonly Certificate[]): boolean {
    return !accept(candidate);
  }
  return { kind: 'invalid', ...(fault ?? (passed || exhausted(work) ? LIMIT : UNKNOWN)) };
}

function exhausted({ signatures, steps }: PathWork): boolean {
  return signatures < 0 || steps < 0;
}

const LIMIT: PathFault = { reason: 'limit-exceeded', detail: 'no path found within the limits of the search' };
const UNKNOWN: PathFault = { reason: 'unknown-authority', detail: 'no path to an authority of the trust bundle' };
