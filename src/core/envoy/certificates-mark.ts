import { createHash } from 'node:crypto';
import type { RevokedSet } from '../messages/generated/countersign/v1/settings_pb.ts';

/**
 * Differs wherever another certificate is revoked by which services speak to each other: what carries it is another resource then, and its connections end. Those of drills are not
 * among them: every drill revokes two, and none has a connection to a service.
 */
export function certificatesMark(set: RevokedSet): string {
  const known = marks.get(set);
  if (known !== undefined) return known;
  const lines = set.certificates
    .filter(({ forDrill }) => !forDrill)
    .map(({ issuerKeySha256, serial }) => `${hex(issuerKeySha256)} ${hex(serial)}\n`)
    .toSorted();
  const mark = createHash('sha256').update(lines.join('')).digest('hex').slice(0, 16);
  marks.set(set, mark);
  return mark;
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}

/** All ways of all Envoys have the same set. */
const marks = new WeakMap<RevokedSet, string>();
