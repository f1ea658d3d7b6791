import { type KeySource, type KeySourceDigest, keySourceDigest } from '../../core/oidc/key-source.ts';
import { readPublishedKeys } from '../../core/oidc/published-keys.ts';
import type { DeclaredKey } from '../../core/oidc/token-key.ts';
import type { Policy } from '../../core/policy/policy.ts';
import { Problem } from '../../core/problems/problem.ts';
import { HOUR_MS, type Instant, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Log } from '../../platform/log/logger.ts';
import { fetchJson, type FetchKeys } from '../access/fetch-json.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listPolicies } from '../policies/store.ts';
import { deletePublishedKeys, listPublishedKeys, type PublishedKeysRecord, upsertPublishedKeys } from './published-key-store.ts';
import { advanceFleetRevision } from './store.ts';

export type PublishedKeyDeps = {
  readonly database: AuditedDatabase;
  readonly place: { readonly environment: string; readonly region: string };
  readonly fetch: FetchKeys;
  /** Told when settings are to be made with other keys. */
  readonly changed: Signal;
  readonly log: Log;
};

/**
 * The keys that issuers of access tokens publish (RFC 7517), fetched for the policies that want them and kept in the database. An issuer that is
 * away stops no traffic: what was fetched last counts until a fetch says otherwise.
 */
export class PublishedKeySets {
  readonly #deps: PublishedKeyDeps;
  readonly #triedAt = new Map<KeySourceDigest, Instant>();

  constructor(deps: PublishedKeyDeps) {
    this.#deps = deps;
  }

  /**
   * Fetches what these policies want and was never fetched: a policy shall not come into force before the keys that its calls need.
   * Only who may have us connect anywhere names a new source. @throws forbidden; input-invalid where an issuer's keys cannot be had, and for too many
   */
  async learn(policies: readonly Policy[], { mayName }: { readonly mayName: boolean }, now: Instant): Promise<void> {
    const known = await this.#known();
    const fresh = sourcesOf(policies).filter((source) => !known.has(keySourceDigest(source)));
    if (fresh.length > 0 && !mayName) {
      throw new Problem(
        'forbidden',
        `Cannot use http.boundTokens.jwksUri ${fresh[0]!.uri}: it is new, expected a token whose role covers admin`,
      );
    }
    if (fresh.length > FETCHES_A_ROUND) {
      throw new Problem(
        'input-invalid',
        `Cannot use http.boundTokens.jwksUri: ${fresh.length} new ones, expected at most ${FETCHES_A_ROUND} at a time`,
      );
    }
    for (const source of fresh) {
      const fetched = await this.#fetch(source);
      if (fetched.kind === 'failed') {
        throw new Problem('input-invalid', `Cannot use http.boundTokens.jwksUri ${source.uri}: ${fetched.detail}, expected a JWK Set`);
      }
      await this.#keep(source, { before: null, keys: fetched.keys }, now);
    }
  }

  /** Fetches what is due, a bounded number a round, and forgets what no policy wants any more. */
  async reconcile(now: Instant): Promise<void> {
    const { database, log } = this.#deps;
    const known = await this.#known();
    const wanted = new Map(
      sourcesOf((await listPolicies(database.queries, '*')).map(({ policy }) => policy)).map((source) => [keySourceDigest(source), source]),
    );
    // Whose turn was longest ago goes first: issuers that are away must not stand before all others, round by round.
    const due = [...wanted]
      .filter(([digest]) => this.#isDue(known.get(digest), digest, now))
      .toSorted(([a], [b]) => this.#lastTriedAt(a) - this.#lastTriedAt(b))
      .slice(0, FETCHES_A_ROUND);
    for (const [digest, source] of due) {
      this.#triedAt.set(digest, now);
      const fetched = await this.#fetch(source);
      if (fetched.kind === 'keys') await this.#keep(source, { before: known.get(digest) ?? null, keys: fetched.keys }, now);
      else log('warn', 'token-keys.not-fetched', { uri: source.uri, detail: fetched.detail });
    }
    for (const { source, fetchedAt } of known.values()) {
      // A policy that is about to be declared had its keys fetched before.
      if (wanted.has(source) || now - fetchedAt < HOUR_MS) continue;
      await database.commit((unit) => deletePublishedKeys(unit.queries, source));
    }
    for (const digest of this.#triedAt.keys()) if (!wanted.has(digest)) this.#triedAt.delete(digest);
  }

  #isDue(known: PublishedKeysRecord | undefined, digest: KeySourceDigest, now: Instant): boolean {
    if (known !== undefined && now - known.fetchedAt < FRESH_MS) return false;
    return now - this.#lastTriedAt(digest) >= COOL_DOWN_MS;
  }

  #lastTriedAt(digest: KeySourceDigest): Instant {
    return this.#triedAt.get(digest) ?? 0;
  }

  async #known(): Promise<ReadonlyMap<KeySourceDigest, PublishedKeysRecord>> {
    return new Map((await listPublishedKeys(this.#deps.database.queries)).map((record) => [record.source, record]));
  }

  async #fetch({ uri, anchorsPem }: KeySource): Promise<Fetched> {
    try {
      return { kind: 'keys', keys: readPublishedKeys(await fetchJson(this.#deps.fetch, uri, anchorsPem)) };
    } catch (error) {
      return { kind: 'failed', detail: error instanceof Error ? error.message.slice(0, MAXIMUM_DETAIL) : 'failed' };
    }
  }

  async #keep(
    source: KeySource,
    { before, keys }: { readonly before: PublishedKeysRecord | null; readonly keys: readonly DeclaredKey[] },
    now: Instant,
  ): Promise<void> {
    const { database, place, changed } = this.#deps;
    const { uri } = source;
    const isSame = JSON.stringify(before?.keys) === JSON.stringify(keys);
    await database.commit(async (unit) => {
      await upsertPublishedKeys(unit.queries, { source: keySourceDigest(source), uri, keys, fetchedAt: now });
      if (isSame) return;
      await advanceFleetRevision(unit.queries);
      recordEntry(unit, {
        type: 'token-keys.changed',
        at: now,
        ...place,
        actor: { kind: 'system', name: 'token-keys' },
        data: { uri, before: (before?.keys ?? []).map(nameOf), after: keys.map(nameOf) },
      });
    });
    if (!isSame) changed.notify();
  }
}

type Fetched = { readonly kind: 'keys'; readonly keys: readonly DeclaredKey[] } | { readonly kind: 'failed'; readonly detail: string };

function sourcesOf(policies: readonly Policy[]): readonly KeySource[] {
  const sources = policies.flatMap(({ http }) => http.boundTokens?.published ?? []);
  return [...new Map(sources.map((source) => [keySourceDigest(source), source])).values()];
}

function nameOf({ kid }: DeclaredKey): string {
  return (kid ?? '').slice(0, MAXIMUM_DETAIL);
}

const FRESH_MS = 10 * MINUTE_MS;
const COOL_DOWN_MS = 30 * SECOND_MS;
/** Of five seconds at the most each. */
const FETCHES_A_ROUND = 10;
const MAXIMUM_DETAIL = 200;
