import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { dnsNames, idOf, inEnvironment, ipAddresses, label, line, profileName, spiffeId, strict, words } from './schemas.ts';

/** The secrets that devices share with us, to enrol by CMP. */
export const cmpRoutes = {
  'list-cmp-secrets': {
    method: 'GET',
    path: '/v1/cmp-secrets',
    summary: 'List the CMP secrets that could still buy a certificate.',
    role: 'operator',
    scope: 'listed',
    query: inEnvironment,
  },
  'create-cmp-secret': {
    method: 'POST',
    path: '/v1/cmp-secrets',
    summary:
      'Make a reference and a secret by which a device enrols by CMP, for one profile and exactly these names; the secret is shown once.',
    role: 'operator',
    scope: 'one',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        name: line,
        role: Type.Optional(words(['admin', 'operator', 'ci'])),
        profile: Type.Optional(profileName),
        spiffeId: Type.Optional(spiffeId),
        dnsNames,
        ipAddresses,
        uses: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
        ttlMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 7_776_000_000 })),
      },
      strict,
    ),
  },
  'revoke-cmp-secret': {
    method: 'DELETE',
    path: '/v1/cmp-secrets/:tokenId',
    summary: 'Take a CMP secret back; what it bought stays.',
    role: 'operator',
    scope: 'record',
    params: Type.Object({ tokenId: idOf('token') }),
  },
} as const satisfies RouteTable;
