import type { Instant } from '../time/instant.ts';
import { contextConstructed, DerReader, malformed, tags } from '../x509/der.ts';
import { readPointName } from '../x509/distribution-point.ts';
import { readGeneralNames } from '../x509/general-name.ts';
import type { Name } from '../x509/name.ts';
import { readTime } from '../x509/x509-time.ts';
import { cmpMessageLimits, MAXIMUM_ITEMS } from './cmp-limits.ts';

/** CRLStatus (RFC 9810 section 5.3.19.17): lists of a place or of a CA, of which one of that time is known already. */
export type CrlStatus = {
  readonly source: { readonly kind: 'places'; readonly uris: readonly string[] } | { readonly kind: 'issuer'; readonly name: Name | null };
  readonly thisUpdate: Instant | null;
};

/** Reads the value of id-it-crlStatusList. @throws der-malformed */
export function readCrlStatusList(value: Uint8Array): readonly CrlStatus[] {
  const reader = DerReader.over(value, cmpMessageLimits);
  const list = reader.enter(tags.sequence);
  reader.finish();
  const found: CrlStatus[] = [];
  while (!list.done) {
    if (found.length === MAXIMUM_ITEMS) throw malformed(`the status of more than ${MAXIMUM_ITEMS} lists`);
    const status = list.enter(tags.sequence);
    const source = readSource(status);
    found.push({ source, thisUpdate: status.done ? null : readTime(status) });
    status.finish();
  }
  return found;
}

/** `CRLSource ::= CHOICE { dpn [0] DistributionPointName, issuer [1] GeneralNames }`. */
function readSource(status: DerReader): CrlStatus['source'] {
  const place = status.enterOptional(contextConstructed(0));
  if (place !== null) {
    const name = readPointName(place);
    return { kind: 'places', uris: name.kind === 'full' ? name.names.uri : [] };
  }
  const wrapped = status.enter(contextConstructed(1));
  const names = readGeneralNames(wrapped.enter(tags.sequence));
  wrapped.finish();
  return { kind: 'issuer', name: names.directory[0] ?? null };
}
