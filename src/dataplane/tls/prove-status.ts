import type { Socket } from 'node:net';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { type Certificate, findExtension } from '../../core/x509/certificate.ts';
import { type CertificateStanding, judgeByResponse } from '../../core/x509/judge-status.ts';
import { oids } from '../../core/x509/oid.ts';
import { ocspUrisOf } from '../../core/x509/authority-info-access.ts';
import { demandsStaple } from '../../core/x509/tls-feature.ts';
import type { CertificateStatuses, StatusSubject } from './certificate-statuses.ts';
import type { StatusDemand } from './status-demand.ts';
import { UpstreamFailure } from './upstream-failure.ts';

export type StatusProof = {
  readonly demand: StatusDemand;
  readonly statuses: CertificateStatuses;
  /** What the server stapled; null: nothing. */
  readonly staple: Uint8Array | null;
  readonly now: Instant;
  /** A check that is only observed yet would have refused the server. */
  readonly onWouldRefuse: (reason: RefusalReason) => void;
};

/**
 * No certificate of the verified path was revoked by its CA, as far as is demanded. A connection waits for a question only where it would be refused without the
 * answer; else the question runs beside, and what it finds ends the connection. @throws UpstreamFailure
 */
export async function proveStatus(socket: Socket, path: readonly Certificate[], proof: StatusProof): Promise<void> {
  const { demand, statuses, onWouldRefuse } = proof;
  const refuse = (reason: RefusalReason, detail: string): void => {
    if (demand.mode === 'enforce') throw new UpstreamFailure(reason, detail, { isTransient: false });
    onWouldRefuse(reason);
  };
  const subjects = subjectsOf(path);
  const unstapled = judgeStaple(subjects[0], proof);
  if (unstapled !== null) return refuse('status-unknown', unstapled);
  for (const subject of subjects) {
    const standing = statuses.known(subject, demand.policy) ?? (await findOut(subject, proof));
    const reason = standing === null ? null : reasonOf(standing, demand);
    if (reason !== null) return refuse(reason, `${nameOf(subject)}: ${detailOf(standing!)}`);
  }
  if (socket.destroyed) throw new UpstreamFailure('upstream-broken', 'closed while its status was asked', { isTransient: true });
  if (demand.mode !== 'enforce') return;
  for (const subject of subjects)
    socket.once(
      'close',
      statuses.watch(subject, demand.policy, () => socket.destroy()),
    );
}

/** The certificates below the anchor; those that are too short-lived to be revoked (RFC 9608), and authorities that name nobody who knows, are let pass. */
function subjectsOf(path: readonly Certificate[]): readonly StatusSubject[] {
  return path.slice(0, -1).flatMap((certificate, index) => {
    if (findExtension(certificate, oids.noRevAvail) !== null) return [];
    const isSilent = certificate.crlDistributionPoints.length === 0 && ocspUrisOf(certificate).length === 0;
    return index > 0 && isSilent ? [] : [{ leaf: certificate, issuer: path[index + 1]! }];
  });
}

/** Learns from what was stapled. Returns what is wrong where a staple has to be there (RFC 7633 section 4.3.3); else a bad one is as none. */
function judgeStaple(subject: StatusSubject | undefined, { staple, statuses, now }: StatusProof): string | null {
  if (subject === undefined) return null;
  const standing = staple === null ? null : judgeOctets(now, staple, subject);
  if (standing !== null && standing.kind !== 'unknown') {
    statuses.learn(subject, standing);
    return null;
  }
  if (!demandsStaple(subject.leaf)) return null;
  return standing === null ? 'it has to staple its status, and does not' : `it has to staple its status: ${standing.detail}`;
}

function judgeOctets(now: Instant, staple: Uint8Array, subject: StatusSubject): CertificateStanding {
  try {
    const standing = judgeByResponse(now, staple, subject);
    // It could be shown for ever, whatever became of the certificate since.
    const isEndless = standing.kind === 'good' && standing.nextUpdate === null;
    return isEndless ? { kind: 'unknown', detail: 'what it staples names no next update' } : standing;
  } catch {
    return { kind: 'unknown', detail: 'what it staples cannot be parsed' };
  }
}

/** Null: the question runs beside. */
async function findOut(subject: StatusSubject, { demand, statuses, onWouldRefuse }: StatusProof): Promise<CertificateStanding | null> {
  const asked = statuses.ask(subject, demand.policy);
  if (demand.mode === 'enforce' && demand.unknown === 'refuse') return within(LONGEST_WAIT_MS, asked);
  if (demand.mode === 'observe') {
    void asked.then((standing) => {
      const reason = reasonOf(standing, demand);
      if (reason !== null) onWouldRefuse(reason);
    });
  }
  return null;
}

async function within(milliseconds: number, asked: Promise<CertificateStanding>): Promise<CertificateStanding> {
  const late = Promise.withResolvers<CertificateStanding>();
  const timer = setTimeout(() => late.resolve({ kind: 'unknown', detail: 'nobody answered in time' }), milliseconds);
  try {
    return await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function reasonOf({ kind }: CertificateStanding, { unknown }: StatusDemand): RefusalReason | null {
  if (kind === 'revoked') return 'revoked';
  return kind === 'unknown' && unknown === 'refuse' ? 'status-unknown' : null;
}

function nameOf({ leaf }: StatusSubject): string {
  return `certificate ${leaf.serialHex}`;
}

function detailOf(standing: CertificateStanding): string {
  return standing.kind === 'revoked' ? `its CA says revoked (${standing.reason})` : standing.kind === 'unknown' ? standing.detail : 'good';
}

/** A caller waits for a connection about as long; a responder that is there answers in much less. */
const LONGEST_WAIT_MS = 8_000;
