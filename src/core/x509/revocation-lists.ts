import type { Instant } from '../time/instant.ts';
import type { Certificate } from './certificate.ts';
import type { CertificateList, ListedCertificate } from './certificate-list.ts';
import { equalOctets } from './der.ts';
import { comparableName, sameName } from './name.ts';
import { oids } from './oid.ts';

/** Lists sorted for path validation: those that may be used at all, by the comparable form of their issuer, the newest first. */
export type SortedLists = {
  readonly complete: ReadonlyMap<string, readonly CertificateList[]>;
  readonly deltas: ReadonlyMap<string, readonly CertificateList[]>;
};

/**
 * Leaves out lists that prove nothing: with critical extensions that are not understood (RFC 5280 section 5.2, 5.3), not begun or without
 * an end, and, where held to the profile of section 5, without a number or with extensions whose criticality is wrong.
 */
export function sortLists(now: Instant, lists: readonly CertificateList[], conformance: 'validation' | 'profile'): SortedLists {
  const usable = lists.filter(
    (list) =>
      list.unknownCritical.length === 0 &&
      list.thisUpdate <= now &&
      list.nextUpdate !== null &&
      (conformance === 'validation' || isConforming(list)),
  );
  const newest = usable.toSorted((a, b) => b.thisUpdate - a.thisUpdate || compareNumbers(b.crlNumber, a.crlNumber));
  return {
    complete: Map.groupBy(
      newest.filter(({ deltaBase }) => deltaBase === null),
      ({ issuer }) => comparableName(issuer),
    ),
    deltas: Map.groupBy(
      newest.filter(({ deltaBase, nextUpdate }) => deltaBase !== null && isFresh(now, nextUpdate)),
      ({ issuer }) => comparableName(issuer),
    ),
  };
}

/** RFC 5280 sections 5.2.3, 5.2.4, 5.2.5: in version 2 the number is there and not critical; what narrows a list is critical. */
function isConforming({ version, crlNumber, extensions }: CertificateList): boolean {
  return (
    (version === 1 || crlNumber !== null) &&
    extensions.every(({ oid, critical }) => critical === mustBeCritical.has(oid) || !(mustBeCritical.has(oid) || oid === oids.crlNumber))
  );
}

/** The next update's second still belongs to the list. */
export function isFresh(now: Instant, nextUpdate: Instant | null): boolean {
  return nextUpdate !== null && Math.floor(now / 1000) * 1000 <= nextUpdate;
}

/** True if the delta may be read together with the complete list (RFC 5280 sections 5.2.4, 6.3.3 (c)); who signed it is another matter. */
export function isDeltaOf(delta: CertificateList, complete: CertificateList): boolean {
  return (
    complete.crlNumber !== null &&
    delta.crlNumber !== null &&
    compareNumbers(delta.deltaBase, complete.crlNumber) <= 0 &&
    compareNumbers(complete.crlNumber, delta.crlNumber) <= 0 &&
    complete.authorityKeyId === delta.authorityKeyId &&
    equalOctets(scopeOctets(complete), scopeOctets(delta))
  );
}

/** What the list says of the certificate, or null. An entry of an indirect list counts for the issuer that it names. */
export function findEntry(list: CertificateList, { serialHex, issuer }: Certificate): ListedCertificate | null {
  let index = indexes.get(list);
  if (!index) {
    index = Map.groupBy(list.revoked, (entry) => entry.serialHex);
    indexes.set(list, index);
  }
  const entries = index.get(serialHex) ?? [];
  const isOf = ({ certificateIssuer }: ListedCertificate): boolean =>
    certificateIssuer ? certificateIssuer.directory.some((name) => sameName(name, issuer)) : sameName(list.issuer, issuer);
  return entries.findLast(isOf) ?? null;
}

function scopeOctets({ extensions }: CertificateList): Uint8Array {
  return extensions.find(({ oid }) => oid === oids.issuingDistributionPoint)?.value ?? NOTHING;
}

/** Non-negative INTEGERs as minimal hex: the longer one is larger. An absent number is the least. */
function compareNumbers(a: string | null, b: string | null): number {
  const [left, right] = [a ?? '', b ?? ''];
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

const mustBeCritical: ReadonlySet<string> = new Set([oids.issuingDistributionPoint, oids.deltaCrlIndicator]);
const indexes = new WeakMap<CertificateList, Map<string, readonly ListedCertificate[]>>();
const NOTHING = new Uint8Array();
