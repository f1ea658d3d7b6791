import type { Principal, Scope } from '../../control/access/principal.ts';
import type { Actor } from '../../control/audit/entry.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { BodyOf, ParamsOf, QueryOf } from './route.ts';
import type { RouteName, routes } from './routes.ts';

/** A request that passed authentication, role and form. */
export type Call<Name extends RouteName> = {
  readonly params: ParamsOf<(typeof routes)[Name]>;
  readonly query: QueryOf<(typeof routes)[Name]>;
  readonly body: BodyOf<(typeof routes)[Name]>;
  readonly now: Instant;
  /** What the client presented in its handshake, DER, leaf first; nothing of it was judged. */
  readonly peerChain: () => readonly Uint8Array[];
} & ((typeof routes)[Name] extends { readonly public: string } ? Record<never, never> : Asked);

/** Who asks, and for where. */
export type Asked = {
  readonly principal: Principal;
  readonly actor: Actor;
  /** The environments that the answer may be about. */
  readonly scope: Scope;
  /** The one environment of a route of scope `one`; else the control plane's own. */
  readonly environment: string;
  /** @throws forbidden if the token does not cover the environment */
  readonly demand: (environment: string) => void;
};

export type Answer =
  | { readonly kind: 'json'; readonly status: 200 | 201 | 202; readonly value: unknown }
  | { readonly kind: 'octets'; readonly contentType: string; readonly cacheControl?: string; readonly octets: Uint8Array | string }
  | { readonly kind: 'empty' };

export type Handlers = { readonly [Name in RouteName]: (call: Call<Name>) => Promise<Answer> };

export function json(value: unknown): Answer {
  return { kind: 'json', status: 200, value };
}

export function created(value: unknown): Answer {
  return { kind: 'json', status: 201, value };
}

/** Nothing is done yet: somebody else has to act first. */
export function accepted(value: unknown): Answer {
  return { kind: 'json', status: 202, value };
}

export function items(value: readonly unknown[]): Answer {
  return json({ items: value });
}

export const empty: Answer = { kind: 'empty' };
