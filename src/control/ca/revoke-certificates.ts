import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import type { CertificateRecord } from './certificate-store.ts';
import type { RevocationReason } from './revocation-reason.ts';
import { revoke } from './revoke-certificate.ts';
import { type CertificateSelection, countCertificates, listCertificates } from './search-certificates.ts';

/** What would be revoked: how many, counted up to `MAXIMUM_COUNTED`, and the newest of them. */
export type RevocationPlan = { readonly count: number; readonly more: boolean; readonly first: readonly CertificateRecord[] };

/** What was revoked, and whether some is left for another call. */
export type RevocationRound = { readonly revoked: number; readonly left: boolean; readonly revokedSequence: number | null };

/** Says what `revokeCertificates` would revoke, and changes nothing. @throws input-invalid if the selection has no criterion */
export async function planRevocations(queries: Queries, selection: CertificateSelection, now: Instant): Promise<RevocationPlan> {
  const revocable = narrowed(selection, now);
  const count = await countCertificates(queries, revocable, MAXIMUM_COUNTED + 1);
  const first = await listCertificates(queries, { ...revocable, limit: MAXIMUM_SHOWN });
  return { count: Math.min(count, MAXIMUM_COUNTED), more: count > MAXIMUM_COUNTED, first };
}

/**
 * Revokes up to `MAXIMUM_ROUND` certificates of a selection, newest first, a hundred to a commit, each with its own entry in the log. Called again
 * until nothing is left; what was revoked before stays so if a later part fails. @throws input-invalid if the selection has no criterion
 */
export async function revokeCertificates(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal; readonly graceMs?: number },
  { selection, reason }: { readonly selection: CertificateSelection; readonly reason: RevocationReason },
  actor: Actor,
  now: Instant,
): Promise<RevocationRound> {
  // Of those that ended, what could still be renewed by.
  const revocable = narrowed(selection, now - (deps.graceMs ?? 0));
  let revoked = 0;
  let revokedSequence: number | null = null;
  while (revoked < MAXIMUM_ROUND) {
    const batch = await listCertificates(deps.database.queries, { ...revocable, limit: BATCH });
    if (batch.length === 0) break;
    const made = await Promise.allSettled(
      batch.map(({ issuerKeySha256, serial }) =>
        deps.database.commitFenced((unit) => revoke(unit, { issuerKeySha256, serial, reason }, actor, now)),
      ),
    );
    const sequences = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    // Another revoked it meanwhile: that is what was asked for. Anything else is told.
    const failed = made.find(
      (one) => one.status === 'rejected' && !(one.reason instanceof Problem && one.reason.code === 'state-conflict'),
    );
    revoked += sequences.length;
    if (sequences.length > 0) revokedSequence = Math.max(...sequences);
    if (failed?.status === 'rejected') throw failed.reason;
    if (sequences.length === 0) break;
  }
  if (revoked > 0) deps.changed.notify();
  return { revoked, left: revoked >= MAXIMUM_ROUND && (await countCertificates(deps.database.queries, revocable, 1)) > 0, revokedSequence };
}

/** Everything of a token's environments is never what somebody meant to revoke by leaving a word out. */
function narrowed(selection: CertificateSelection, now: Instant): CertificateSelection {
  demandCriterion(selection);
  return { ...selection, revocableAt: now };
}

/** @throws input-invalid */
export function demandCriterion(selection: CertificateSelection): void {
  const { environments: _, status: __, revocableAt: ___, revocableThereAt: ____, ...criteria } = selection;
  if (Object.values(criteria).every((value) => value === undefined)) {
    throw new Problem(
      'input-invalid',
      'Cannot revoke certificates: no criterion, expected identity, key, name, serial, profile, issuer or time',
    );
  }
}

const MAXIMUM_COUNTED = 10_000;
const MAXIMUM_SHOWN = 20;
const BATCH = 100;
const MAXIMUM_ROUND = 1_000;
