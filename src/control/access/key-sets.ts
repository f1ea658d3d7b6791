import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { IdentityProvider } from '../../core/oidc/identity-provider.ts';
import { HOUR_MS, type Instant, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { fetchJson, type FetchKeys } from './fetch-json.ts';

type Held = { keys: JWTVerifyGetKey | null; fetchedAt: Instant; triedAt: Instant; fetching: Promise<void> | null; fault: string };

/**
 * The issuers' published keys (RFC 7517), in memory. They are fetched when a token needs them, again when they are ten minutes old, and for an unknown
 * key id, but never oftener than every half minute an issuer: strangers can make up key ids. While an issuer is away its keys count for a day.
 */
export class KeySets {
  readonly #fetch: FetchKeys;
  readonly #held = new Map<string, Held>();

  constructor(fetch: FetchKeys) {
    this.#fetch = fetch;
  }

  /** The keys of the issuer, or why there are none. `unknownKey`: those held were not enough. */
  async keysOf(
    provider: IdentityProvider,
    now: Instant,
    options: { readonly unknownKey: boolean } = { unknownKey: false },
  ): Promise<{ readonly kind: 'keys'; readonly keys: JWTVerifyGetKey } | { readonly kind: 'none'; readonly detail: string }> {
    const held = this.#heldOf(provider);
    const stale = held.keys === null || options.unknownKey || now - held.fetchedAt >= FRESH_MS;
    if (stale && (held.fetching !== null || now - held.triedAt >= COOL_DOWN_MS)) {
      held.fetching ??= this.#refresh(provider, held, now).finally(() => (held.fetching = null));
      await held.fetching;
    }
    if (held.keys !== null && now - held.fetchedAt < MAXIMUM_AGE_MS) return { kind: 'keys', keys: held.keys };
    return { kind: 'none', detail: held.fault };
  }

  #heldOf({ issuer, jwksUri, anchorsPem }: IdentityProvider): Held {
    const name = JSON.stringify([issuer, jwksUri, anchorsPem]);
    const known = this.#held.get(name);
    if (known !== undefined) return known;
    // Only declared providers come here; a few hundred changes of one are not worth a list of use.
    if (this.#held.size >= MAXIMUM_SETS) this.#held.clear();
    const held: Held = { keys: null, fetchedAt: 0, triedAt: Number.NEGATIVE_INFINITY, fetching: null, fault: '' };
    this.#held.set(name, held);
    return held;
  }

  async #refresh(provider: IdentityProvider, held: Held, now: Instant): Promise<void> {
    held.triedAt = now;
    try {
      const uri = provider.jwksUri ?? (await this.#discover(provider));
      const set = (await fetchJson(this.#fetch, uri, provider.anchorsPem)) as JSONWebKeySet;
      if (!Array.isArray(set.keys) || set.keys.length > MAXIMUM_KEYS) throw new Error(`no key set of at most ${MAXIMUM_KEYS} keys`);
      held.keys = createLocalJWKSet(set);
      held.fetchedAt = now;
    } catch (error) {
      held.fault = error instanceof Error ? error.message : 'failed';
    }
  }

  /** OpenID Connect Discovery 1.0 section 4.3: the issuer that it names must be the one that was asked. */
  async #discover(provider: IdentityProvider): Promise<string> {
    const base = provider.issuer.replace(/\/$/, '');
    const found: { issuer?: unknown; jwks_uri?: unknown } = await fetchJson(
      this.#fetch,
      `${base}/.well-known/openid-configuration`,
      provider.anchorsPem,
    );
    if (found.issuer !== provider.issuer) throw new Error('discovery names another issuer');
    const uri = typeof found.jwks_uri === 'string' && URL.canParse(found.jwks_uri) ? new URL(found.jwks_uri) : null;
    if (uri === null || uri.protocol !== 'https:' || uri.username !== '') throw new Error('discovery names no https jwks_uri');
    return uri.href;
  }
}

const FRESH_MS = 10 * MINUTE_MS;
const COOL_DOWN_MS = 30 * SECOND_MS;
const MAXIMUM_AGE_MS = 24 * HOUR_MS;
const MAXIMUM_KEYS = 100;
const MAXIMUM_SETS = 1_000;
