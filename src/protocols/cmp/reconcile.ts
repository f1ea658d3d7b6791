import { recordEntry } from '../../control/audit/record-entry.ts';
import { type CertificateKey, findCertificate } from '../../control/ca/certificate-store.ts';
import { revoke } from '../../control/ca/revoke-certificate.ts';
import { findWaiting } from '../../control/ca/waiting-store.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CmpDeps } from './deps.ts';
import { type CmpTransaction, deleteDone, endTransaction, findTransaction, listOverdue } from './transaction-store.ts';

type ReconcileDeps = Pick<CmpDeps, 'database' | 'authorityChanged'>;

/** Ends transactions whose time is over: what nobody confirmed is revoked (RFC 9810 section 5.3.18), as it may be in nobody's hands or in a stranger's. */
export async function reconcileCmp(deps: ReconcileDeps, now: Instant): Promise<void> {
  const overdue = await listOverdue(deps.database.queries, now, PAGE);
  for (const transaction of overdue) await endOverdue(deps, transaction, now);
}

/** Forgets requests that nobody could send again. */
export async function pruneCmp({ database }: Pick<CmpDeps, 'database'>, now: Instant): Promise<void> {
  await database.commit(({ queries }) => deleteDone(queries, now));
}

async function endOverdue({ database, authorityChanged }: ReconcileDeps, overdue: CmpTransaction, now: Instant): Promise<void> {
  const { environment, region, sender } = overdue;
  await database.commitFenced(async (unit) => {
    // The device may have gone on meanwhile.
    const transaction = await findTransaction(unit.queries, overdue);
    if (transaction === null || transaction.deadline >= now || !(await endTransaction(unit.queries, transaction, now))) return;
    const key = await certificateOf(unit.queries, transaction);
    if (key === null) return;
    const record = await findCertificate(unit.queries, key.issuerKeySha256, key.serial);
    if (record === null || record.status !== 'issued' || record.revokedAt !== null) return;
    const actor = { kind: 'system', name: 'cmp' } as const;
    const data = { door: record.door, sender, serial: Buffer.from(key.serial).toString('hex') };
    recordEntry(unit, { type: 'certificate.unconfirmed', at: now, environment, region, actor, data });
    if (record.notAfter > now) await revoke(unit, { ...key, reason: 'cessationOfOperation' }, actor, now);
  });
  authorityChanged.notify();
}

/** What was issued in it, if anything. */
async function certificateOf(queries: Queries, { state }: CmpTransaction): Promise<CertificateKey | null> {
  if (state.kind === 'issued') return state.certificate;
  return state.kind === 'waiting' ? ((await findWaiting(queries, state.requestId))?.certificate ?? null) : null;
}

const PAGE = 200;
