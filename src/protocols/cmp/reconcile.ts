import { recordEntry } from '../../control/audit/record-entry.ts';
import { findCertificate } from '../../control/ca/certificate-store.ts';
import { revoke } from '../../control/ca/revoke-certificate.ts';
import { findWaiting } from '../../control/ca/waiting-store.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { CmpDeps } from './deps.ts';
import { deleteEndedSecrets } from './secret-store.ts';
import { type CmpTransaction, deleteTransaction, listOverdue } from './transaction-store.ts';

type ReconcileDeps = Pick<CmpDeps, 'database' | 'authorityChanged'>;

/** Ends transactions whose time is over: what nobody confirmed is revoked (RFC 9810 section 5.3.18), as it may be in nobody's hands or in a stranger's. */
export async function reconcileCmp(deps: ReconcileDeps, now: Instant): Promise<void> {
  const overdue = await listOverdue(deps.database.queries, now, PAGE);
  for (const transaction of overdue) await endOverdue(deps, transaction, now);
}

/** Forgets secrets that ended long ago; the log keeps what they bought. */
export async function pruneCmp({ database }: Pick<CmpDeps, 'database'>, now: Instant): Promise<void> {
  await database.commit(({ queries }) => deleteEndedSecrets(queries, now - KEPT_FOR_MS));
}

async function endOverdue({ database, authorityChanged }: ReconcileDeps, transaction: CmpTransaction, now: Instant): Promise<void> {
  const { state, environment, region, sender } = transaction;
  await database.commitFenced(async (unit) => {
    const key = state.kind === 'issued' ? state.certificate : ((await findWaiting(unit.queries, state.requestId))?.certificate ?? null);
    if (!(await deleteTransaction(unit.queries, transaction)) || key === null) return;
    const record = await findCertificate(unit.queries, key.issuerKeySha256, key.serial);
    if (record === null || record.status !== 'issued' || record.revokedAt !== null) return;
    const actor = { kind: 'system', name: 'cmp' } as const;
    const data = { door: record.door, sender, serial: Buffer.from(key.serial).toString('hex') };
    recordEntry(unit, { type: 'certificate.unconfirmed', at: now, environment, region, actor, data });
    if (record.notAfter > now) await revoke(unit, { ...key, reason: 'cessationOfOperation' }, actor, now);
  });
  authorityChanged.notify();
}

const PAGE = 200;
const KEPT_FOR_MS = 90 * DAY_MS;
