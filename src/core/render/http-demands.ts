import { always, type Demand, isCertified, isEnforced, no, nobody, partly, withNjs, yes } from './demand.ts';
import type { RenderOrder } from './render-order.ts';

const tells = (field: 'client-cert' | 'client-cert-chain' | 'x-forwarded-client-cert') => (order: RenderOrder) =>
  isCertified(order) && order.policy.http.identityFields.includes(field);

/** What is asked of calls and connections. */
export const httpDemands = {
  routes: {
    meaning: 'routes of an endpoint that are narrower than its callers',
    weight: 'access',
    isMade: (order) => isEnforced(order) && order.narrowedRoutes > 0,
    by: nobody,
  },
  'bound-tokens': {
    meaning: 'access tokens that are bound to certificates',
    weight: 'access',
    isMade: ({ policy }) => policy.http.boundTokens !== null,
    by: nobody,
  },
  'host-matches': {
    meaning: '421 for a host that is not served, and where `hostMatchesSni` is set for another than the handshake was for',
    weight: 'access',
    isMade: always,
    by: {
      nginx: yes('a map of both names'),
      haproxy: yes('rules over both names'),
      caddy: yes('`strict_sni_host`, which always holds both to each other'),
      envoy: yes('a chain for each name'),
      node: yes('the module'),
    },
  },
  'identity-stripped': {
    meaning: 'fields that tell a caller and that a caller sent itself never reach the service',
    weight: 'access',
    isMade: always,
    by: {
      nginx: yes('yes'),
      haproxy: yes('yes'),
      caddy: yes('yes'),
      envoy: yes('yes'),
      node: yes('yes'),
    },
  },
  'client-cert': {
    meaning: 'Client-Cert (RFC 9440) of a proved caller',
    weight: 'other',
    isMade: tells('client-cert'),
    by: {
      nginx: withNjs('a script writes it'),
      haproxy: yes('yes'),
      caddy: yes('yes'),
      envoy: no('Envoy writes X-Forwarded-Client-Cert only'),
      node: yes('yes'),
    },
  },
  'client-cert-chain': {
    meaning: 'Client-Cert-Chain (RFC 9440)',
    weight: 'other',
    isMade: tells('client-cert-chain'),
    by: {
      nginx: no('it gives the leaf only'),
      haproxy: no('not written'),
      caddy: no('it gives the leaf only'),
      envoy: no('Envoy writes X-Forwarded-Client-Cert only'),
      node: no('not written'),
    },
  },
  'x-forwarded-client-cert': {
    meaning: "X-Forwarded-Client-Cert in Envoy's form",
    weight: 'other',
    isMade: tells('x-forwarded-client-cert'),
    by: {
      nginx: yes('`Cert=`; with njs `Hash=` and `URI=`'),
      haproxy: yes('`Hash=` and `URI=`'),
      caddy: yes('`Hash=`, and `URI=` where callers are listed'),
      envoy: yes('`Hash=` and `URI=`'),
      node: yes('`Hash=` and `URI=`'),
    },
  },
  'answer-fields': {
    meaning: 'HSTS and the other fields of answers, on TLS only',
    weight: 'other',
    isMade: ({ policy }) => policy.http.hsts !== null || policy.http.answerFields.length > 0,
    by: {
      nginx: yes('`add_header … always`'),
      haproxy: yes('`http-after-response`'),
      caddy: yes('`header`'),
      envoy: yes('of the routes on TLS'),
      node: yes('the module'),
    },
  },
  body: {
    meaning: '413 for a body that is too long',
    weight: 'other',
    isMade: ({ policy }) => policy.http.maximumBodyOctets !== null,
    by: {
      nginx: yes('`client_max_body_size`'),
      haproxy: partly('a length that is announced; chunks are not counted'),
      caddy: yes('`request_body`'),
      envoy: partly('the filter of buffers, so the body is held until it is whole'),
      node: yes('the module'),
    },
  },
  'caller-rate': {
    meaning: '429 for a caller that calls too often',
    weight: 'other',
    isMade: ({ policy }) => policy.http.rates.caller !== null,
    by: {
      nginx: withNjs('`limit_req`'),
      haproxy: yes('a table, in which refused calls count too'),
      caddy: no('it has no limit of calls of its own'),
      envoy: no('not written'),
      node: no('not written'),
    },
  },
  'endpoint-rate': {
    meaning: '429 where all together call too often',
    weight: 'other',
    isMade: ({ policy }) => policy.http.rates.endpoint !== null,
    by: {
      nginx: yes('`limit_req`'),
      haproxy: yes('a table'),
      caddy: no('it has no limit of calls of its own'),
      envoy: yes('`local_ratelimit`'),
      node: no('not written'),
    },
  },
  connections: {
    meaning: 'connections open at a time',
    weight: 'other',
    isMade: always,
    by: {
      nginx: partly('`worker_connections`: of each worker, upstreams included'),
      haproxy: yes('`maxconn`'),
      caddy: no('it has no limit of connections'),
      envoy: yes('`connection_limit`, of each name'),
      node: yes('`maxConnections`'),
    },
  },
  'handshakes-per-address': {
    meaning: 'handshakes of one address at a time',
    weight: 'other',
    isMade: always,
    by: {
      nginx: no('it counts calls of an address, not handshakes'),
      haproxy: no('it counts connections of an address, not handshakes'),
      caddy: no('it counts nothing by address'),
      envoy: no('not written'),
      node: no('not written'),
    },
  },
} as const satisfies { readonly [name: string]: Demand };
