import { createHash } from 'node:crypto';
import type { RevokedSet } from '../messages/generated/countersign/v1/settings_pb.ts';

/**
 * Differs wherever another certificate is revoked by which services speak to each other: what carries it is another resource then, and its connections end. Those of drills are not
 * among them: every drill revokes two, and none has a connection to a service.
 */
export function certificatesMark(set: RevokedSet): string {
  const known = marks.get(set);
  if (known !== undefined) return known;
  const hash = createHash('sha256');
  const named = set.certificates.filter(({ forDrill }) => !forDrill);
  const byIssuer = Map.groupBy(named, ({ issuerKeySha256 }) => textOf(issuerKeySha256, 'latin1'));
  for (const [issuer, certificates] of [...byIssuer].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const serials = certificates.map(({ serial }) => textOf(serial, 'hex')).toSorted();
    hash.update(`${Buffer.from(issuer, 'latin1').toString('hex')}\n${serials.join('\n')}\n`);
  }
  const mark = hash.digest('hex').slice(0, 16);
  marks.set(set, mark);
  return mark;
}

function textOf(octets: Uint8Array, encoding: 'latin1' | 'hex'): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString(encoding);
}

/** All ways of all Envoys have the same set. */
const marks = new WeakMap<RevokedSet, string>();
