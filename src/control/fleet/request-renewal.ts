import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Scope } from '../access/principal.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { ProxyRecord } from '../inventory/record.ts';
import { listDeclaredProxies, listServices } from '../inventory/store.ts';
import { advanceFleetRevision, raiseRenewalEpoch } from './store.ts';

/** Whose certificates shall be renewed now. */
export type RenewalSubject =
  | { readonly kind: 'all' }
  | { readonly kind: 'service'; readonly name: string }
  | { readonly kind: 'proxy'; readonly name: string };

/** Asks every proxy of the subject, within these environments, for a new certificate; it follows with its next settings. @throws not-found */
export async function requestRenewal(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal },
  request: { readonly subject: RenewalSubject; readonly scope: Scope; readonly reason: string },
  actor: Actor,
  now: Instant,
): Promise<{ readonly proxies: readonly EntityId<'proxy'>[] }> {
  const { subject, scope, reason } = request;
  const proxies = await deps.database.commit(async (unit) => {
    const services = new Map((await listServices(unit.queries, scope)).map(({ id, name }) => [id, name]));
    const chosen = (await listDeclaredProxies(unit.queries, scope)).filter((proxy) => isMeant(subject, proxy, services));
    if (chosen.length === 0) throw new Problem('not-found', `Cannot renew certificates: no proxy is ${describe(subject)}`);
    for (const proxy of chosen) await raiseRenewalEpoch(unit.queries, proxy, now);
    await advanceFleetRevision(unit.queries);
    for (const group of Map.groupBy(chosen, ({ environment, region }) => `${environment}/${region}`).values()) {
      const { environment, region } = group[0]!;
      const data = {
        subject: { ...subject },
        reason,
        proxyCount: group.length,
        proxies: group.slice(0, MAXIMUM_LOGGED).map(({ id }) => id),
      };
      recordEntry(unit, { type: 'renewal.requested', at: now, environment, region, actor, data });
    }
    return chosen.map(({ id }) => id);
  });
  deps.changed.notify();
  return { proxies };
}

function isMeant(subject: RenewalSubject, proxy: ProxyRecord, services: ReadonlyMap<EntityId<'service'>, string>): boolean {
  if (subject.kind === 'all') return true;
  if (subject.kind === 'proxy') return proxy.name === subject.name;
  return proxy.serviceId !== null && services.get(proxy.serviceId) === subject.name;
}

function describe(subject: RenewalSubject): string {
  return subject.kind === 'all' ? 'declared' : `of ${subject.kind} ${JSON.stringify(subject.name.slice(0, 100))}`;
}

/** A leaf of the log is at most 64 KiB (C2SP tlog-tiles). */
const MAXIMUM_LOGGED = 500;
