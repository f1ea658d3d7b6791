import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { count, label, line, pageLimit, strict } from './schemas.ts';

/** The audit log and the server's own state. */
export const logRoutes = {
  'search-log': {
    method: 'GET',
    path: '/v1/audit/entries',
    summary: 'Search the audit log, newest first, a page at a time.',
    role: 'auditor',
    scope: 'listed',
    query: Type.Object(
      {
        environment: Type.Optional(label),
        type: Type.Optional(Type.String({ pattern: '^[a-z0-9-]+\\.[a-z0-9-]+$', maxLength: 100 })),
        person: Type.Optional(Type.String({ maxLength: 200 })),
        contains: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
        from: Type.Optional(count),
        to: Type.Optional(count),
        before: Type.Optional(count),
        limit: Type.Optional(pageLimit),
      },
      strict,
    ),
  },
  'erase-person': {
    method: 'POST',
    path: '/v1/persons/erasure',
    summary: 'Forget a person: the clear name behind the hashes of the log, and the name in every row that can do without.',
    role: 'admin',
    scope: 'everywhere',
    body: Type.Object({ name: line }, strict),
  },
  'read-checkpoint': {
    method: 'GET',
    path: '/log/checkpoint',
    summary: 'The newest signed checkpoint of the log.',
    public: 'a checkpoint tells size and root only, and everybody may hold it against the log later',
    scope: 'none',
  },
  'read-verifier': {
    method: 'GET',
    path: '/log/verifier',
    summary: 'The key that checkpoints are verified with.',
    public: 'it is a public key',
    scope: 'none',
  },
  'read-tile': {
    method: 'GET',
    path: '/log/tile/*',
    summary: 'A tile or an entry bundle of the log (C2SP tlog-tiles).',
    role: 'auditor',
    scope: 'everywhere',
    params: Type.Object({ '*': Type.String({ maxLength: 60 }) }),
  },
  health: { method: 'GET', path: '/healthz', summary: 'Whether the server answers.', public: 'it tells nothing', scope: 'none' },
  metrics: { method: 'GET', path: '/metrics', summary: 'Metrics as OpenMetrics text.', role: 'viewer', scope: 'everywhere' },
} as const satisfies RouteTable;
