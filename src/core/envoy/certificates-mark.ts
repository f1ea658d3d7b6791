import { createHash } from 'node:crypto';
import { subjectMark } from '../identity/subject-mark.ts';
import type { RevokedCertificate, RevokedSet } from '../messages/generated/countersign/v1/settings_pb.ts';

/**
 * Differs wherever another certificate of one of these identities is revoked: what carries it is another resource then, and its connections end. What names
 * no identity is shown to no service. Those of drills are not among them: every drill revokes two, and none has a connection to a service.
 */
export function certificatesMark(set: RevokedSet, spiffeIds: readonly string[]): string {
  const fallen = fallenOf(set);
  const subjects = new Set(spiffeIds.map((spiffeId) => textOf(subjectMark(spiffeId), 'latin1')));
  const marks = [...subjects].flatMap((subject) => fallen.get(subject)?.mark() ?? []);
  return createHash('sha256').update(marks.toSorted().join('\n')).digest('hex').slice(0, MARK_CHARACTERS);
}

/** The certificates of one identity that are revoked. */
class Fallen {
  readonly certificates: RevokedCertificate[] = [];
  #mark: string | null = null;

  mark(): string {
    return (this.#mark ??= this.#make());
  }

  #make(): string {
    const hash = createHash('sha256');
    const byIssuer = Map.groupBy(this.certificates, ({ issuerKeySha256 }) => textOf(issuerKeySha256, 'latin1'));
    for (const [issuer, certificates] of [...byIssuer].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const serials = certificates.map(({ serial }) => textOf(serial, 'hex')).toSorted();
      hash.update(`${Buffer.from(issuer, 'latin1').toString('hex')}\n${serials.join('\n')}\n`);
    }
    return hash.digest('hex');
  }
}

function fallenOf(set: RevokedSet): ReadonlyMap<string, Fallen> {
  const known = bySet.get(set);
  if (known !== undefined) return known;
  const bySubject = new Map<string, Fallen>();
  for (const certificate of set.certificates) {
    if (certificate.forDrill || certificate.subject.length === 0) continue;
    const subject = textOf(certificate.subject, 'latin1');
    const found = bySubject.get(subject) ?? new Fallen();
    bySubject.set(subject, found);
    found.certificates.push(certificate);
  }
  bySet.set(set, bySubject);
  return bySubject;
}

function textOf(octets: Uint8Array, encoding: 'latin1' | 'hex'): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString(encoding);
}

/** All ways of all Envoys have the same set. */
const bySet = new WeakMap<RevokedSet, ReadonlyMap<string, Fallen>>();
const MARK_CHARACTERS = 16;
