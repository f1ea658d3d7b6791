import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { inEnvironment, label, name, reason, strict } from './schemas.ts';

const list = { method: 'GET', role: 'viewer', scope: 'listed', query: inEnvironment } as const;
/** A declaration is at most 1 MiB; JSON may write an octet as six. */
const DECLARATION_LIMIT = 7 * 1_048_576;
const declaration = Type.Object({ text: Type.String({ maxLength: 1_048_576 }) }, strict);

const observation = Type.Object(
  {
    address: Type.String({ maxLength: 60 }),
    reachable: Type.Optional(Type.Boolean()),
    plaintextHttp: Type.Union([Type.Null(), Type.String({ maxLength: 4_096 })]),
    tls: Type.Union([Type.Null(), Type.Record(Type.String({ maxLength: 100 }), Type.Unknown(), { maxProperties: 50 })]),
  },
  strict,
);

/** Declarations, what they made, and the fleet that runs it. */
export const inventoryRoutes = {
  'diff-declaration': {
    method: 'POST',
    path: '/v1/declarations/diff',
    summary:
      'Show what applying these YAML documents would change, and what of it the Envoys of the inventory cannot do (`objections`), for which it would be refused.',
    role: 'operator',
    scope: 'record',
    body: declaration,
    bodyLimit: DECLARATION_LIMIT,
  },
  'apply-declaration': {
    method: 'POST',
    path: '/v1/declarations',
    summary:
      'Apply YAML documents: services, endpoints, proxies, exceptions, policies, profiles, targets and trust domains of others; a profile or trust domain is changed by an admin.',
    role: 'operator',
    scope: 'record',
    body: declaration,
    bodyLimit: DECLARATION_LIMIT,
  },
  'list-services': { ...list, path: '/v1/services', summary: 'List the services.' },
  'list-endpoints': { ...list, path: '/v1/endpoints', summary: 'List the endpoints, with what probing showed of their addresses.' },
  'list-paths': { ...list, path: '/v1/paths', summary: 'List the paths, with their modes.' },
  'list-exceptions': {
    ...list,
    path: '/v1/exceptions',
    summary: 'List the exceptions, with owner, end, what each lets in and how much it was used.',
  },
  'list-policies': { ...list, path: '/v1/policies', summary: 'List the policies, with what each means.' },
  'list-profiles': { ...list, path: '/v1/profiles', summary: 'List the declared profiles of certificates.' },
  'list-targets': { ...list, path: '/v1/targets', summary: 'List the targets that rollouts work from.' },
  'list-discovered': { ...list, path: '/v1/discovered', summary: 'List what probing found, and which endpoint each address is of.' },
  'record-discovered': {
    method: 'POST',
    path: '/v1/discovered',
    summary: 'Record what a prober saw.',
    role: 'operator',
    scope: 'one',
    body: Type.Object({ environment: Type.Optional(label), observations: Type.Array(observation, { minItems: 1, maxItems: 500 }) }, strict),
    bodyLimit: 8 * 1_048_576,
  },
  'list-proxies': { ...list, path: '/v1/proxies', summary: 'List the proxies: declared, joined, and how far their settings have come.' },
  'request-renewal': {
    method: 'POST',
    path: '/v1/renewals',
    summary: 'Have proxies renew their certificates now: all, those of one service, or one.',
    role: 'operator',
    scope: 'listed',
    query: inEnvironment,
    body: Type.Object(
      {
        subject: Type.Union([
          Type.Object({ kind: Type.Literal('all') }, strict),
          Type.Object({ kind: Type.Enum(['service', 'proxy']), name }, strict),
        ]),
        reason: Type.Optional(reason),
      },
      strict,
    ),
  },
  'rotate-ticket-keys': {
    method: 'POST',
    path: '/v1/ticket-key-rotations',
    summary:
      'Rotate the keys of session tickets now, of all that serve or of one service; `replace-all` makes every ticket of before worthless.',
    role: 'operator',
    scope: 'listed',
    query: inEnvironment,
    body: Type.Object(
      { service: Type.Optional(name), rotation: Type.Enum(['step', 'replace-all']), reason: Type.Optional(reason) },
      strict,
    ),
  },
} as const satisfies RouteTable;
