import { type RevokedEntry, encodeRevokedEntry } from './build-certificate-list.ts';
import { certificateListLimits, DerReader, tags } from './der.ts';

/** `SEQUENCE OF` content of revokedCertificates: entries as they are signed, one after another. */
export type EncodedEntries = Uint8Array;

/** The entries of a list of ours, as views of it; empty if there are none. @throws der-malformed */
export function encodedEntriesOf(list: Uint8Array): EncodedEntries {
  const body = DerReader.over(list, certificateListLimits).enter(tags.sequence).enter(tags.sequence);
  // version, signature, issuer, thisUpdate, nextUpdate: lists of this house have all five.
  for (let field = 0; field < 5; field++) body.element();
  return body.contentOptional(tags.sequence) ?? NOTHING;
}

/**
 * What a rebuilt list holds: the entries that it had, without those that leave or changed, octet for octet, and then those that came.
 * Only what came is encoded. Each serial stands once.
 */
export function mergeListEntries(
  held: EncodedEntries,
  { leaving, coming }: { readonly leaving: readonly Uint8Array[]; readonly coming: readonly RevokedEntry[] },
): EncodedEntries {
  const serials = [...leaving, ...coming.map(({ serial }) => serial)];
  const parts: Uint8Array[] = mayHoldSerial(held, serials) ? keptRuns(held, new Set(serials.map(textOf))) : [held];
  for (const entry of coming) parts.push(encodeRevokedEntry(entry));
  return Buffer.concat(parts);
}

/** False: none of these serials is among the entries. To search octets for a few costs far less than to walk through thousands of entries. */
export function mayHoldSerial(held: EncodedEntries, serials: readonly Uint8Array[]): boolean {
  if (held.length === 0 || serials.length === 0) return false;
  if (serials.length > FEW) return true;
  const octets = Buffer.from(held.buffer, held.byteOffset, held.length);
  return serials.some((serial) => octets.includes(serial));
}

/** Which of these serials have an entry, in their order. */
export function serialsAmong(held: EncodedEntries, serials: readonly Uint8Array[]): readonly boolean[] {
  if (!mayHoldSerial(held, serials)) return serials.map(() => false);
  const found = new Set<string>();
  const octets = Buffer.from(held.buffer, held.byteOffset, held.length);
  for (const { serial } of entriesIn(octets)) found.add(serial);
  return serials.map((serial) => found.has(textOf(serial)));
}

export function countListEntries(held: EncodedEntries): number {
  let count = 0;
  for (let at = 0; at < held.length; at += 2 + held[at + 1]!) count++;
  return count;
}

/** Runs of neighbours that stay, so that what is copied is large pieces. */
function keptRuns(held: EncodedEntries, gone: ReadonlySet<string>): Uint8Array[] {
  const octets = Buffer.from(held.buffer, held.byteOffset, held.length);
  const runs: Uint8Array[] = [];
  let start = 0;
  for (const { at, end, serial } of entriesIn(octets)) {
    if (!gone.has(serial)) continue;
    if (at > start) runs.push(octets.subarray(start, at));
    start = end;
  }
  if (start < octets.length) runs.push(octets.subarray(start));
  return runs;
}

function* entriesIn(octets: Buffer): Generator<{ readonly at: number; readonly end: number; readonly serial: string }> {
  for (let at = 0; at < octets.length;) {
    // Entries of this house are shorter than 128 octets: one length octet, then the serial with one of its own.
    const end = at + 2 + octets[at + 1]!;
    yield { at, end, serial: octets.toString('latin1', at + 4, at + 4 + octets[at + 3]!) };
    at = end;
  }
}

function textOf(serial: Uint8Array): string {
  return Buffer.from(serial.buffer, serial.byteOffset, serial.length).toString('latin1');
}

/** Beyond so many, one walk is cheaper than their searches. */
const FEW = 12;
const NOTHING = new Uint8Array(0);
