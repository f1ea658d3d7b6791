import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { ProxyScope } from './admit-report.ts';

/** Reads what these proxies serve and call. A proxy that is not in the answer may report nothing. */
export type ReadScopes = (queries: Queries, proxyIds: readonly EntityId<'proxy'>[]) => Promise<ReadonlyMap<EntityId<'proxy'>, ProxyScope>>;

/** Scopes change with inventory, seldom; a short memory saves a query per report. */
export class ScopeCache {
  readonly #read: ReadScopes;
  readonly #queries: Queries;
  readonly #held = new Map<EntityId<'proxy'>, { readonly scope: ProxyScope | null; readonly readAt: Instant }>();

  constructor(read: ReadScopes, queries: Queries) {
    this.#read = read;
    this.#queries = queries;
  }

  async get(proxyId: EntityId<'proxy'>, now: Instant): Promise<ProxyScope | null> {
    const held = this.#held.get(proxyId);
    return held !== undefined && Math.abs(now - held.readAt) < SCOPE_AGE_MS ? held.scope : this.refresh(proxyId, now);
  }

  async refresh(proxyId: EntityId<'proxy'>, now: Instant): Promise<ProxyScope | null> {
    const scope = (await this.#read(this.#queries, [proxyId])).get(proxyId) ?? null;
    if (this.#held.size >= MAX_HELD) this.#held.clear();
    this.#held.set(proxyId, { scope, readAt: now });
    return scope;
  }
}

const SCOPE_AGE_MS = 5_000;
const MAX_HELD = 10_000;
