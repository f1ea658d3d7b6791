import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { idOf, inEnvironment, label, line, strict, words } from './schemas.ts';

/** What binds ACME accounts to somebody known here. */
export const acmeRoutes = {
  'list-acme-bindings': {
    method: 'GET',
    path: '/v1/acme-bindings',
    summary: 'List the ACME binding tokens that could still be used.',
    role: 'operator',
    scope: 'listed',
    query: inEnvironment,
  },
  'create-acme-binding': {
    method: 'POST',
    path: '/v1/acme-bindings',
    summary: 'Make the single-use token that binds one ACME account to a role; its MAC key is shown once.',
    role: 'operator',
    scope: 'one',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        name: line,
        role: words(['admin', 'operator', 'partner-manager', 'ci']),
        ttlMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 7_776_000_000 })),
      },
      strict,
    ),
  },
  'revoke-acme-binding': {
    method: 'DELETE',
    path: '/v1/acme-bindings/:tokenId',
    summary: 'Take an ACME binding token back that nobody used.',
    role: 'operator',
    scope: 'record',
    params: Type.Object({ tokenId: idOf('token') }),
  },
} as const satisfies RouteTable;
