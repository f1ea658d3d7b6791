import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { idOf, inEnvironment, label, line, name, reason, spiffeId, strict, words } from './schemas.ts';

/** Tokens, identities and who asks. */
export const accessRoutes = {
  'exchange-bootstrap-token': {
    method: 'POST',
    path: '/v1/bootstrap-exchange',
    summary: 'Exchange the bootstrap token of the first start, once, for a named admin token.',
    public: 'the bootstrap token in the body is the credential; attempts are rate-limited',
    scope: 'none',
    body: Type.Object({ token: Type.String({ maxLength: 256 }), name: line }, strict),
  },
  'show-caller': {
    method: 'GET',
    path: '/v1/caller',
    summary: 'Say whose token this is and what it covers.',
    role: 'viewer',
    scope: 'none',
  },
  'list-tokens': {
    method: 'GET',
    path: '/v1/tokens',
    summary: 'List the tokens of people and pipelines.',
    role: 'admin',
    scope: 'everywhere',
  },
  'create-token': {
    method: 'POST',
    path: '/v1/tokens',
    summary: 'Make a token; its text is shown once.',
    role: 'admin',
    scope: 'everywhere',
    body: Type.Object(
      {
        name: line,
        role: words(['admin', 'operator', 'auditor', 'partner-manager', 'ci', 'viewer']),
        environments: Type.Optional(Type.Union([Type.Literal('*'), Type.Array(label, { minItems: 1, maxItems: 100, uniqueItems: true })])),
        ttlMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 315_360_000_000 })),
      },
      strict,
    ),
  },
  'revoke-token': {
    method: 'DELETE',
    path: '/v1/tokens/:tokenId',
    summary: 'End a token.',
    role: 'admin',
    scope: 'everywhere',
    params: Type.Object({ tokenId: idOf('token') }),
  },
  'list-join-tokens': {
    method: 'GET',
    path: '/v1/join-tokens',
    summary: 'List the join tokens that could still be used.',
    role: 'operator',
    scope: 'listed',
    query: inEnvironment,
  },
  'create-join-token': {
    method: 'POST',
    path: '/v1/join-tokens',
    summary: 'Make the single-use token with which one declared proxy joins; its text is shown once.',
    role: 'operator',
    scope: 'one',
    body: Type.Object(
      { environment: Type.Optional(label), proxy: name, ttlMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 604_800_000 })) },
      strict,
    ),
  },
  'revoke-join-token': {
    method: 'DELETE',
    path: '/v1/join-tokens/:tokenId',
    summary: 'Take a join token back.',
    role: 'operator',
    scope: 'record',
    params: Type.Object({ tokenId: idOf('token') }),
  },
  'list-suspensions': {
    method: 'GET',
    path: '/v1/suspensions',
    summary: 'List the suspended identities.',
    role: 'viewer',
    scope: 'listed',
    query: inEnvironment,
  },
  'suspend-identity': {
    method: 'POST',
    path: '/v1/identities/suspend',
    summary: 'Refuse an identity everywhere: calls, renewal, joining and its stream.',
    role: 'operator',
    scope: 'record',
    body: Type.Object({ spiffeId, reason: Type.Optional(reason) }, strict),
  },
  'resume-identity': {
    method: 'POST',
    path: '/v1/identities/resume',
    summary: 'Lift a suspension.',
    role: 'operator',
    scope: 'record',
    body: Type.Object({ spiffeId, reason: Type.Optional(reason) }, strict),
  },
} as const satisfies RouteTable;
