import { type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { Authorities } from './authorities.ts';
import { advanceSequence } from './authority-store.ts';
import { buildCertificateList, isListDue } from './build-certificate-list.ts';
import { listStaleReservations, settleReservation } from './certificate-store.ts';
import { listCrlStates } from './crl-store.ts';
import { dropExpiredFromRevokedSet, hasExpiredInRevokedSet } from './revocation-store.ts';

type Deps = { readonly database: AuditedDatabase; readonly authorities: Authorities; readonly changed: Signal };

/** What one pass did. `settled` false: some is left for the next call, such as a list whose second is taken. */
export type CaPass = { readonly abandoned: number; readonly dropped: number; readonly published: number; readonly settled: boolean };

/**
 * Brings the CA's state up to date: reservations of a process that ended are abandoned, what expired leaves the revoked set,
 * lists that lag are built. Woken by `changed` and by a timer; takes up again what a crash left.
 */
export async function reconcileAuthorities(deps: Deps, now: Instant): Promise<CaPass> {
  const abandoned = await abandonReservations(deps, now);
  const dropped = await dropExpired(deps, now);
  let published = 0;
  let due = 0;
  const lists = (await listCrlStates(deps.database.queries)).filter((list) => isListDue(list, now));
  // Those of one round share a commit.
  for (let start = 0; start < lists.length; start += LISTS_A_ROUND) {
    await Promise.all(
      lists.slice(start, start + LISTS_A_ROUND).map(async ({ authorityId, shard }) => {
        const authority = deps.authorities.issuing.find(({ id }) => id === authorityId);
        if (authority === undefined) return;
        due++;
        if ((await buildCertificateList(deps, authority, shard, now)) !== null) published++;
      }),
    );
  }
  return { abandoned, dropped, published, settled: due === published && abandoned < MAXIMUM_ABANDONED };
}

/** Such a certificate may have been signed, but was given to nobody: the log says so, and the serial stays taken. */
async function abandonReservations({ database }: Deps, now: Instant): Promise<number> {
  const stale = await listStaleReservations(database.queries, now - PATIENCE_MS, MAXIMUM_ABANDONED);
  if (stale.length === 0) return 0;
  return database.commit(async (unit) => {
    let abandoned = 0;
    for (const reservation of stale) {
      if (!(await settleReservation(unit.queries, reservation, { status: 'abandoned', der: null }))) continue;
      abandoned++;
      const { environment, region, issuerId, serial, spiffeId, proxyId } = reservation;
      const data = { issuerId, serial: Buffer.from(serial).toString('hex'), spiffeId, proxyId };
      recordEntry(unit, { type: 'certificate.abandoned', at: now, environment, region, actor: SYSTEM, data });
    }
    return abandoned;
  });
}

async function dropExpired({ database, authorities, changed }: Deps, now: Instant): Promise<number> {
  // Kept a while longer than it is valid: a proxy whose clock is slow would still accept it.
  const before = now - PATIENCE_MS;
  if (!(await hasExpiredInRevokedSet(database.queries, before))) return 0;
  const dropped = await database.commit(async (unit) => {
    const count = await dropExpiredFromRevokedSet(unit.queries, before);
    if (count === 0) return 0;
    const sequence = await advanceSequence(unit.queries, 'revoked-set');
    const { environment = '*', region = '*' } = authorities.issuing[0] ?? {};
    recordEntry(unit, { type: 'revoked-set.pruned', at: now, environment, region, actor: SYSTEM, data: { count, sequence } });
    return count;
  });
  if (dropped > 0) changed.notify();
  return dropped;
}

const SYSTEM = { kind: 'system', name: 'ca' } as const;
/** Far longer than a signature takes, and than clocks of a fleet differ. */
const PATIENCE_MS = 10 * MINUTE_MS;
const MAXIMUM_ABANDONED = 500;
/** Their octets are in memory at the same time. */
const LISTS_A_ROUND = 8;
