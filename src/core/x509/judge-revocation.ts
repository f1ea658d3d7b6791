import type { Instant } from '../time/instant.ts';
import { isSignedBy, type PathWork } from './build-paths.ts';
import type { Certificate } from './certificate.ts';
import type { CertificateList } from './certificate-list.ts';
import { ALL_REASONS, comparableNames, comparablePoint, type DistributionPoint } from './distribution-point.ts';
import { noNames } from './general-name.ts';
import { comparableName, type Name } from './name.ts';
import type { PathFault } from './path-fault.ts';
import { findEntry, isDeltaOf, isFresh, type SortedLists } from './revocation-lists.ts';

/** What judging the status of a path needs. */
export type RevocationContext = {
  readonly now: Instant;
  readonly lists: SortedLists;
  readonly work: PathWork;
  /** Certificates that may have signed a list of this issuer. */
  readonly signersNamed: (issuer: string) => readonly Certificate[];
  /** A valid path from the signer of a list to this anchor, its status apart, or null (RFC 5280 section 6.3.3 (f)). */
  readonly findSignerPath: (signer: Certificate, anchor: Certificate) => readonly Certificate[] | null;
};

/**
 * The status of every certificate of a path, leaf first and anchor last, by the lists given (RFC 5280 section 6.3). One that no list tells
 * is undetermined, and so refused: whoever gives lists wants to know. Null: no fault.
 */
export function judgeRevocation(context: RevocationContext, path: readonly Certificate[]): PathFault | null {
  return judgeStatuses(context, path, new Set());
}

/**
 * `asked` holds the certificates whose status is being found: a list whose signer stands on that very list may say so itself, or no
 * indirect issuer could ever be valid.
 */
function judgeStatuses(context: RevocationContext, path: readonly Certificate[], asked: ReadonlySet<Certificate>): PathFault | null {
  for (let index = path.length - 2; index >= 0; index--) {
    const certificate = path[index]!;
    if (asked.has(certificate)) continue;
    const asking = { path, index, asked: new Set([...asked, certificate]) };
    // What a signer's own list says of it counts only where no other list says anything.
    const others = findStatus(context, { ...asking, mayVouch: false });
    const status = others === 'unknown' && asked.size > 0 ? findStatus(context, { ...asking, mayVouch: true }) : others;
    if (status === 'good') continue;
    const place = `(certificate ${index + 1} of ${path.length}, leaf first)`;
    if (context.work.steps < 0 || context.work.signatures < 0)
      return { reason: 'limit-exceeded', detail: 'no revocation status found within the limits of the search' };
    return status === 'unknown'
      ? { reason: 'revocation-unknown', detail: `no list that is valid now tells the status for every reason ${place}` }
      : { reason: 'revoked', detail: `${status.reason} ${place}` };
  }
  return null;
}

type Status = 'good' | 'unknown' | { readonly reason: string };

type Asking = {
  readonly path: readonly Certificate[];
  readonly index: number;
  readonly asked: ReadonlySet<Certificate>;
  /** True: certificates that are being asked about may have signed the list. */
  readonly mayVouch: boolean;
};

/** RFC 5280 section 6.3.3 for one certificate, its issuer being the next of the path. */
function findStatus(context: RevocationContext, asking: Asking): Status {
  const certificate = asking.path[asking.index]!;
  let known = 0;
  for (const point of pointsOf(certificate)) {
    for (const issuer of issuersOf(point, certificate)) {
      for (const list of context.lists.complete.get(issuer) ?? []) {
        if (--context.work.steps < 0) return 'unknown';
        if (!covers(list, point, certificate)) continue;
        const reasons = (point.reasons ?? ALL_REASONS) & (list.scope?.reasons ?? ALL_REASONS);
        if ((reasons & ~known) === 0) continue;
        const signer = findSigner(context, list, asking);
        if (!signer) continue;
        const delta = findDelta(context, list, signer);
        if (!delta && !isFresh(context.now, list.nextUpdate)) continue;
        // (i) to (k): the delta knows better, and takes back what it calls removed.
        const entry = (delta && findEntry(delta, certificate)) ?? findEntry(list, certificate);
        if (entry && !(entry.reason === 'removeFromCRL' && delta)) return { reason: entry.reason };
        known |= reasons;
        if (known === ALL_REASONS) return 'good';
      }
    }
  }
  return 'unknown';
}

/** The certificate's own points, and at last the one that every certificate has: its issuer's name, for all reasons. */
function pointsOf({ distributionPoints, issuer }: Certificate): readonly DistributionPoint[] {
  const own: DistributionPoint = { name: { kind: 'full', names: { ...noNames, directory: [issuer] } }, reasons: null, crlIssuer: null };
  return [...distributionPoints.slice(0, MAX_POINTS), own];
}

/** Comparable names of those whose lists the point means. */
function issuersOf({ crlIssuer }: DistributionPoint, { issuer }: Certificate): readonly string[] {
  return crlIssuer ? crlIssuer.directory.map(comparableName) : [comparableName(issuer)];
}

/** RFC 5280 section 6.3.3 (b). */
function covers({ scope, issuer: listIssuer }: CertificateList, point: DistributionPoint, certificate: Certificate): boolean {
  if (point.crlIssuer && scope?.indirect !== true) return false;
  if (!scope) return true;
  const isAuthority = certificate.basicConstraints?.ca === true;
  if (scope.onlyAttributeCertificates || (scope.onlyUserCertificates && isAuthority) || (scope.onlyAuthorityCertificates && !isAuthority)) {
    return false;
  }
  if (!scope.name) return true;
  const base: Name = point.crlIssuer?.directory[0] ?? certificate.issuer;
  const wanted = point.name ? comparablePoint(point.name, base) : comparableNames(point.crlIssuer ?? noNames);
  return comparablePoint(scope.name, listIssuer).some((name) => wanted.includes(name));
}

/**
 * Whoever signed the list and may (RFC 5280 section 6.3.3 (f), (g)): the certificate's issuer as the path has it, or another holder of
 * the name with a valid path of its own to the same anchor, whose certificates are not revoked either.
 */
function findSigner(context: RevocationContext, list: CertificateList, { path, index, asked, mayVouch }: Asking): Certificate | null {
  const name = comparableName(list.issuer);
  const issuer = path[index + 1]!;
  if (comparableName(issuer.subject) === name && maySign(issuer) && isSignedBy(context.work, list, issuer)) return issuer;
  if (asked.size > MAX_NESTING) return null;
  for (const signer of context.signersNamed(name)) {
    if (--context.work.steps < 0) return null;
    if (signer === issuer || (asked.has(signer) && !mayVouch) || !maySign(signer) || !isSignedBy(context.work, list, signer)) continue;
    const signerPath = context.findSignerPath(signer, path.at(-1)!);
    if (signerPath && !judgeStatuses(context, signerPath, asked)) return signer;
  }
  return null;
}

function maySign({ keyUsage }: Certificate): boolean {
  return keyUsage?.has('cRLSign') !== false;
}

/** RFC 5280 section 6.3.3 (c), (h): the newest delta that fits and has the same signer. */
function findDelta({ lists, work }: RevocationContext, list: CertificateList, signer: Certificate): CertificateList | null {
  const deltas = lists.deltas.get(comparableName(list.issuer)) ?? [];
  return deltas.find((delta) => --work.steps >= 0 && isDeltaOf(delta, list) && isSignedBy(work, delta, signer)) ?? null;
}

/** Signers of lists whose status stands on lists of further signers, and so on: certificates asked about at once. */
const MAX_NESTING = 6;
/** Points looked at of one certificate; RFC 5280 has one for each reason at most. */
const MAX_POINTS = 32;
