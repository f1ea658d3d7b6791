import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import type { CertificateRecord } from '../ca/certificate-store.ts';
import type { RevocationReason } from '../ca/revocation-reason.ts';
import { demandCriterion } from '../ca/revoke-certificates.ts';
import { type CertificateSelection, listCertificates } from '../ca/search-certificates.ts';
import type { ForeignKey } from './external-order.ts';
import { type ForeignRevocation, reasonCodes } from './foreign-revocation.ts';
import { findForeignRevocations } from './foreign-revocation-store.ts';
import { stageRevocation } from './request-revocation.ts';

/** Which certificates, and why. */
export type RevocationOrder = { readonly selection: CertificateSelection; readonly reason: RevocationReason };

/** What other CAs would be asked to revoke: how many, counted up to `MAXIMUM_ROUND`, and the newest of them. */
export type ForeignRevocationPlan = { readonly count: number; readonly more: boolean; readonly first: readonly CertificateRecord[] };

/** What other CAs were asked to revoke, and whether some is left for another call. */
export type ForeignRevocationRound = { readonly asked: number; readonly left: boolean };

/**
 * Of a selection, what was ordered at other CAs and they were not asked to revoke yet; changes nothing. A reason that no other CA is told (that it is
 * compromised itself) is about none of these. @throws input-invalid without a criterion
 */
export async function planForeignRevocations(queries: Queries, order: RevocationOrder, now: Instant): Promise<ForeignRevocationPlan> {
  let count = 0;
  const first: CertificateRecord[] = [];
  for await (const page of listUnasked(queries, order, now)) {
    count += page.length;
    first.push(...page.slice(0, MAXIMUM_SHOWN - first.length));
    if (count > MAXIMUM_ROUND) break;
  }
  return { count: Math.min(count, MAXIMUM_ROUND), more: count > MAXIMUM_ROUND, first };
}

/**
 * Records for up to `MAXIMUM_ROUND` of them that their CAs are to be asked, a hundred to a commit, each with its own entry.
 * @throws input-invalid without a criterion
 */
export async function requestForeignRevocations(
  { database, changed }: { readonly database: AuditedDatabase; readonly changed: Signal },
  order: RevocationOrder,
  actor: Actor,
  now: Instant,
): Promise<ForeignRevocationRound> {
  const { reason } = order;
  let asked = 0;
  let left = false;
  for await (const page of listUnasked(database.queries, order, now)) {
    left = asked >= MAXIMUM_ROUND;
    if (left) break;
    asked += await database.commit(async (unit) => {
      let staged = 0;
      for (const { issuerKeySha256, serial } of page) {
        // Another revoked it, or it ended, meanwhile: nobody has to be asked any more.
        const made = await stageRevocation(unit, { issuerKeySha256, serial, reason }, actor, now).catch(ifSettled);
        if (made !== null) staged++;
      }
      return staged;
    });
  }
  if (asked > 0) changed.notify();
  return { asked, left };
}

async function* listUnasked(
  queries: Queries,
  { selection, reason }: RevocationOrder,
  now: Instant,
): AsyncGenerator<readonly CertificateRecord[]> {
  demandCriterion(selection);
  if (!Object.hasOwn(reasonCodes, reason) || (selection.door !== undefined && selection.door !== 'external')) return;
  let before: CertificateRecord | null = null;
  for (;;) {
    const filter = { ...selection, revocableThereAt: now, limit: BATCH };
    const page: readonly CertificateRecord[] = await listCertificates(queries, before === null ? filter : { ...filter, before });
    const known = await findForeignRevocations(queries, page);
    const asked = new Set(known.filter((one) => isAsked(one, reason)).map(keyOf));
    const unasked = page.filter((record) => !asked.has(keyOf(record)));
    if (unasked.length > 0) yield unasked;
    if (page.length < BATCH) return;
    before = page.at(-1)!;
  }
}

/** That a key is known to others is said again of what was to be revoked for less. */
function isAsked({ status, reason: held }: ForeignRevocation, reason: RevocationReason): boolean {
  return status === 'asked' && (held === reason || reason !== 'keyCompromise');
}

function ifSettled(error: unknown): null {
  if (error instanceof Problem && error.code === 'state-conflict') return null;
  throw error;
}

function keyOf({ issuerId, serial }: ForeignKey): string {
  return `${issuerId} ${Buffer.from(serial).toString('hex')}`;
}

const BATCH = 100;
const MAXIMUM_SHOWN = 20;
const MAXIMUM_ROUND = 1_000;
