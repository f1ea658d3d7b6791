import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { dnsNames, idOf, inEnvironment, ipAddresses, label, line, profileName, spiffeId, strict, words } from './schemas.ts';

const listed = { method: 'GET', role: 'operator', scope: 'listed', query: inEnvironment } as const;
const takenBack = { method: 'DELETE', role: 'operator', scope: 'record', params: Type.Object({ tokenId: idOf('token') }) } as const;
const made = { method: 'POST', scope: 'one' } as const;
const where = { environment: Type.Optional(label), ttlMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 7_776_000_000 })) };

/** The one-time grants by which somebody asks for certificates at a door: what binds ACME accounts, what devices share with CMP, what they show to SCEP. */
export const grantRoutes = {
  'list-acme-bindings': { ...listed, path: '/v1/acme-bindings', summary: 'List the ACME binding tokens that could still be used.' },
  'create-acme-binding': {
    ...made,
    path: '/v1/acme-bindings',
    summary: 'Make the single-use token that binds one ACME account to a role; its MAC key is shown once.',
    role: 'operator',
    body: Type.Object({ ...where, name: line, role: words(['admin', 'operator', 'partner-manager', 'ci']) }, strict),
  },
  'revoke-acme-binding': {
    ...takenBack,
    path: '/v1/acme-bindings/:tokenId',
    summary: 'Take an ACME binding token back that nobody used.',
  },
  'list-cmp-secrets': { ...listed, path: '/v1/cmp-secrets', summary: 'List the CMP secrets that could still buy a certificate.' },
  'create-cmp-secret': {
    ...made,
    path: '/v1/cmp-secrets',
    summary:
      'Make a reference and a secret by which a device enrols by CMP, for one profile and exactly these names; the secret is shown once.',
    role: 'operator',
    body: Type.Object(
      {
        ...where,
        name: line,
        role: Type.Optional(words(['admin', 'operator', 'ci'])),
        profile: Type.Optional(profileName),
        spiffeId: Type.Optional(spiffeId),
        dnsNames,
        ipAddresses,
        uses: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
      },
      strict,
    ),
  },
  'revoke-cmp-secret': {
    ...takenBack,
    path: '/v1/cmp-secrets/:tokenId',
    summary: 'Take a CMP secret back; what it bought stays.',
  },
  'list-scep-challenges': { ...listed, path: '/v1/scep-challenges', summary: 'List the SCEP challenges that could still be used.' },
  'create-scep-challenge': {
    ...made,
    path: '/v1/scep-challenges',
    summary:
      'Make the single-use challenge for which one device gets a certificate of these names by SCEP; it is shown once, and falls with the token that made it.',
    role: 'ci',
    body: Type.Object({ ...where, profile: profileName, spiffeId: Type.Optional(spiffeId), dnsNames, ipAddresses }, strict),
  },
  'revoke-scep-challenge': {
    ...takenBack,
    path: '/v1/scep-challenges/:tokenId',
    summary: 'Take a SCEP challenge back that nobody used.',
  },
} as const satisfies RouteTable;
