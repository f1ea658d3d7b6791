import type { EntityId } from '../../core/ids/entity-id.ts';
import { type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { AuditedDatabase, AuditedFence } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listLiveJoinTokens, markJoinTokenRevoked } from '../access/join-token-store.ts';
import { revoke } from '../ca/revoke-certificate.ts';
import { listCertificates } from '../ca/search-certificates.ts';
import { listDeclaredProxyIds, readInventoryRevision } from '../inventory/store.ts';
import { deleteJoinedProxy, findJoinedProxy, listJoinedProxyIds } from './joined-proxy-store.ts';

type Deps = {
  readonly database: AuditedDatabase;
  readonly changed: Signal;
  /** How long after its end a certificate may still be renewed, by the profile that gives the longest. */
  readonly longestGraceMs: () => number;
};

/**
 * Takes away what a proxy got that the inventory does not declare any more: its certificates are revoked, its join tokens end, and it is
 * known no longer. Its identity is not touched, which its replicas and successors share.
 */
export class ProxyRetirement {
  readonly #deps: Deps;
  #settled = { revision: -1, at: Number.NEGATIVE_INFINITY };

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Compares inventory and fleet anew where the inventory changed, where something is left to do, and every minute. Returns how many are gone. */
  async reconcile(now: Instant): Promise<number> {
    const { database, changed, longestGraceMs } = this.#deps;
    const revision = await readInventoryRevision(database.queries);
    if (revision === this.#settled.revision && Math.abs(now - this.#settled.at) < MINUTE_MS) return 0;
    let retired = 0;
    const undeclared = await findUndeclared(this.#deps, now);
    for (const proxyId of undeclared) {
      const { isDone, revoked } = await database.commitFenced((unit) => retire(unit, { proxyId, graceMs: longestGraceMs() }, now));
      if (revoked > 0) changed.notify();
      if (isDone) retired++;
    }
    if (retired === undeclared.length) this.#settled = { revision, at: now };
    return retired;
  }
}

async function findUndeclared({ database: { queries } }: Deps, now: Instant): Promise<readonly EntityId<'proxy'>[]> {
  const declared = new Set(await listDeclaredProxyIds(queries));
  const known = new Set([
    ...(await listJoinedProxyIds(queries)),
    ...(await listLiveJoinTokens(queries, now)).map(({ proxyId }) => proxyId),
  ]);
  return [...known].filter((proxyId) => !declared.has(proxyId));
}

/**
 * One commit a proxy. A certificate that was reserved and is not recorded yet, by a join or a renewal under way, is left for the next time,
 * and the proxy with it.
 */
async function retire(
  unit: AuditedFence,
  { proxyId, graceMs }: { readonly proxyId: EntityId<'proxy'>; readonly graceMs: number },
  now: Instant,
): Promise<{ readonly isDone: boolean; readonly revoked: number }> {
  const { queries } = unit;
  // The declaration may have come since they were compared.
  if ((await listDeclaredProxyIds(queries, proxyId)).length > 0) return { isDone: true, revoked: 0 };
  const tokens = (await listLiveJoinTokens(queries, now)).filter((token) => token.proxyId === proxyId);
  for (const { id } of tokens) await markJoinTokenRevoked(queries, id, now);
  const mine = { environments: '*', proxyId, limit: MAXIMUM_ROUND } as const;
  // By what ended within the grace it could have itself issued another.
  const certificates = await listCertificates(queries, { ...mine, revocableAt: now - graceMs });
  for (const { issuerKeySha256, serial } of certificates)
    await revoke(unit, { issuerKeySha256, serial, reason: 'cessationOfOperation' }, SYSTEM, now);
  const underWay = await listCertificates(queries, { ...mine, status: 'reserved' });
  const isDone = underWay.length === 0 && certificates.length < MAXIMUM_ROUND;
  const joined = await findJoinedProxy(queries, proxyId);
  if (isDone) await deleteJoinedProxy(queries, proxyId);
  const place = joined ?? tokens[0];
  if (place !== undefined && (isDone || certificates.length + tokens.length > 0)) {
    const { environment, region, spiffeId } = place;
    const name = joined?.name ?? tokens[0]!.proxyName;
    const data = { proxyId, name, spiffeId, certificates: certificates.length, joinTokens: tokens.map(({ id }) => id), isDone };
    recordEntry(unit, { type: 'proxy.retired', at: now, environment, region, actor: SYSTEM, data });
  }
  return { isDone, revoked: certificates.length };
}

const SYSTEM = { kind: 'system', name: 'fleet' } as const;
/** A proxy has two certificates at a time; more means renewals in a row, and the rest follows with the next call. */
const MAXIMUM_ROUND = 100;
