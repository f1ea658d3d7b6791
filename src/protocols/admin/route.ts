import type { Static, TSchema } from 'typebox';
import type { Role } from '../../control/access/role.ts';

/**
 * How a route stays within the environments of its caller's token.
 * `listed`: what it reads is narrowed to them, or to one of them by `?environment=`.
 * `one`: it is about one environment, named in query or body, else the control plane's own.
 * `record`: about what the path names; the handler finds it and calls `demand` with its environment before it does anything.
 * `everywhere`: about the whole installation; the token must cover all environments.
 * `none`: about no environment.
 */
export type RouteScope = 'listed' | 'one' | 'record' | 'everywhere' | 'none';

/** One row of the route table. Whoever writes one must say who may call it, or why everybody may. */
export type Route = {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** As fastify writes paths. */
  readonly path: `/${string}`;
  readonly summary: string;
  readonly scope: RouteScope;
  readonly params?: TSchema;
  /** Query values are texts: nothing is coerced. */
  readonly query?: TSchema;
  readonly body?: TSchema;
  /** Tokens of declared issuers are taken too: the handler holds the request against their grants. */
  readonly machines?: true;
  /** Octets; 64 KiB if absent. */
  readonly bodyLimit?: number;
} & ({ readonly role: Role; readonly public?: never } | { readonly public: string; readonly role?: never });

export type RouteTable = { readonly [name: string]: Route };

type Part<R, Name extends 'params' | 'query' | 'body'> = R extends { readonly [Key in Name]: infer Schema extends TSchema }
  ? Static<Schema>
  : Record<never, never>;

export type ParamsOf<R> = Part<R, 'params'>;
export type QueryOf<R> = Part<R, 'query'>;
export type BodyOf<R> = Part<R, 'body'>;

export const DEFAULT_BODY_LIMIT = 65_536;
