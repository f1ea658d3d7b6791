import type { RouteTable } from './route.ts';
import { inEnvironment } from './schemas.ts';

/** Trust domains of others, and what we publish to them. */
export const federationRoutes = {
  'list-federated-domains': {
    method: 'GET',
    path: '/v1/federation',
    summary:
      'List the trust domains of others that are declared: authorities and sequence of the bundle in force, when it was fetched, and why the last try failed.',
    role: 'viewer',
    scope: 'listed',
    query: inEnvironment,
  },
  'read-own-bundle': {
    method: 'GET',
    path: '/v1/federation/bundle',
    summary: 'Our trust bundle as a SPIFFE bundle document, for whoever is to trust our trust domain.',
    role: 'viewer',
    scope: 'none',
  },
} as const satisfies RouteTable;
