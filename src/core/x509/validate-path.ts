import type { Instant } from '../time/instant.ts';
import { type CertificatePool, findPath, type PathLimits, type PathSearch, type PathWork, poolCertificates } from './build-paths.ts';
import type { Certificate } from './certificate.ts';
import type { CertificateList } from './certificate-list.ts';
import { type JudgeBudget, judgeCertificate, judgePath, judgePurposes, type PathDemands } from './judge-path.ts';
import { noPolicyDemands } from './judge-policies.ts';
import { judgeRevocation, type RevocationContext } from './judge-revocation.ts';
import type { PathFault } from './path-fault.ts';
import { sortLists } from './revocation-lists.ts';

/** What is to be validated: intermediates in any order, useless ones among them; anchors as self-signed or any other CA certificates. */
export type ValidationRequest = {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  readonly demands: PathDemands;
  /** Certificate lists in any order; null: no revocation status is asked for. */
  readonly lists: readonly CertificateList[] | null;
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
  const session: Session = { request, pool, work, budget };
  const revocation = revocationContext(session);
  let fault: PathFault | null = null;
  const accept = (path: readonly Certificate[]): boolean => {
    const found = judgePath(now, path, demands, budget) ?? (revocation && judgeRevocation(revocation, path));
    fault ??= found;
    return found === null;
  };
  const search = { pool, maxCertificates: limits.maxCertificates, work, accept };
  const path = findPath({ ...search, mayIssue: soundness(now, demands) }, request.leaf);
  if (path) return { kind: 'valid', path };
  const passed = isExhausted(work);
  if (!fault) {
    // Only for its fault: nothing that is found here can be valid.
    const explaining = { ...search, work: { signatures: Math.max(0, work.signatures), steps: limits.maxSteps } };
    findPath({ ...explaining, mayIssue: () => true, accept: (candidate) => !accept(candidate) }, request.leaf);
  }
  return { kind: 'invalid', ...(fault ?? (passed ? LIMIT : UNKNOWN)) };
}

type Session = {
  readonly request: ValidationRequest;
  readonly pool: CertificatePool;
  readonly work: PathWork;
  readonly budget: JudgeBudget;
};

/** Whether an issuer can be in a valid path at all, found once for each. */
function soundness(now: Instant, demands: PathDemands): PathSearch['mayIssue'] {
  const judged = new Map<Certificate, boolean>();
  return (issuer, anchor) => {
    const known = judged.get(issuer);
    if (known !== undefined) return known;
    const sound = !judgeCertificate(now, issuer, demands, { leaf: false, anchor }) && !judgePurposes(issuer, demands.purposes);
    judged.set(issuer, sound);
    return sound;
  };
}

function revocationContext({ request: { now, limits, demands, lists }, pool, work, budget }: Session): RevocationContext | null {
  if (!lists) return null;
  const signerDemands: PathDemands = {
    purposes: [],
    keyUsage: ['cRLSign'],
    endEntity: false,
    policies: noPolicyDemands,
    revocation: true,
    maxDepth: null,
    conformance: demands.conformance,
  };
  const mayIssue = soundness(now, signerDemands);
  const accept = (path: readonly Certificate[]): boolean => judgePath(now, path, signerDemands, budget) === null;
  return {
    now,
    lists: sortLists(now, lists, demands.conformance),
    work,
    signersNamed: (issuer) => pool.bySubject.get(issuer) ?? [],
    findSignerPath: (signer, anchor) =>
      findPath({ pool: { ...pool, anchors: [anchor] }, maxCertificates: limits.maxCertificates, work, mayIssue, accept }, signer),
  };
}

function isExhausted({ signatures, steps }: PathWork): boolean {
  return signatures < 0 || steps < 0;
}

const LIMIT: PathFault = { reason: 'limit-exceeded', detail: 'no path found within the limits of the search' };
const UNKNOWN: PathFault = { reason: 'unknown-authority', detail: 'no path to an authority of the trust bundle' };
