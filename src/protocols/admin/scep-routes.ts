import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { dnsNames, idOf, inEnvironment, ipAddresses, label, profileName, spiffeId, strict } from './schemas.ts';

/** What devices show to SCEP, once. */
export const scepRoutes = {
  'list-scep-challenges': {
    method: 'GET',
    path: '/v1/scep-challenges',
    summary: 'List the SCEP challenges that could still be used.',
    role: 'operator',
    scope: 'listed',
    query: inEnvironment,
  },
  'create-scep-challenge': {
    method: 'POST',
    path: '/v1/scep-challenges',
    summary:
      'Make the single-use challenge for which one device gets a certificate of these names by SCEP; it is shown once, and falls with the token that made it.',
    role: 'ci',
    scope: 'one',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        profile: profileName,
        spiffeId: Type.Optional(spiffeId),
        dnsNames,
        ipAddresses,
        ttlMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 7_776_000_000 })),
      },
      strict,
    ),
  },
  'revoke-scep-challenge': {
    method: 'DELETE',
    path: '/v1/scep-challenges/:tokenId',
    summary: 'Take a SCEP challenge back that nobody used.',
    role: 'operator',
    scope: 'record',
    params: Type.Object({ tokenId: idOf('token') }),
  },
} as const satisfies RouteTable;
