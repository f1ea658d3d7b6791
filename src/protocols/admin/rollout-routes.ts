import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { count, idOf, inEnvironment, instant, label, name, reason, strict, words } from './schemas.ts';

const params = Type.Object({ name });
/** ISO 8601 with its offset. */
const isoInstant = '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,3})?)?(Z|[+-]\\d\\d:\\d\\d)$';
const order = Type.Object({ environment: Type.Optional(label), reason: Type.Optional(reason) }, strict);
const verb = { method: 'POST', role: 'operator', scope: 'one', params, body: order } as const;

/** Rollouts, what telemetry says of them, and drills. */
export const rolloutRoutes = {
  'list-rollouts': {
    method: 'GET',
    path: '/v1/rollouts',
    summary: 'List the rollouts with their status.',
    role: 'viewer',
    scope: 'listed',
    query: inEnvironment,
  },
  'show-rollout': {
    method: 'GET',
    path: '/v1/rollouts/:name',
    summary: 'Show waves, holds, rollbacks and steps of a rollout.',
    role: 'viewer',
    scope: 'one',
    params,
    query: inEnvironment,
  },
  'plan-rollout': {
    method: 'GET',
    path: '/v1/rollouts/:name/plan',
    summary: 'Say, per path, who would be refused by enforcement, and why.',
    role: 'viewer',
    scope: 'one',
    params,
    query: inEnvironment,
  },
  'start-rollout': { ...verb, path: '/v1/rollouts/:name/start', summary: 'Start or resume the waves.' },
  'pause-rollout': { ...verb, path: '/v1/rollouts/:name/pause', summary: 'Hold the waves where they are.' },
  'retry-rollout': { ...verb, path: '/v1/rollouts/:name/retry', summary: 'Try rolled-back paths again.' },
  'weaken-path': {
    method: 'POST',
    path: '/v1/paths/:pathId/weaken',
    summary: 'Weaken a path until a date; audited, and undone by itself.',
    role: 'operator',
    scope: 'record',
    params: Type.Object({ pathId: idOf('path') }),
    body: Type.Object(
      {
        to: words(['observe', 'permissive', 'originate']),
        until: Type.Union([instant, Type.String({ pattern: isoInstant })]),
        reason: Type.String({ minLength: 1, maxLength: 500 }),
      },
      strict,
    ),
  },
  'read-coverage': {
    method: 'GET',
    path: '/v1/coverage',
    summary: 'Which part of paths, endpoints and calls is mutual TLS, over the last seconds.',
    role: 'viewer',
    scope: 'one',
    query: Type.Object({ environment: Type.Optional(label), from: Type.Optional(count), to: Type.Optional(count) }, strict),
  },
  'list-refusals': {
    method: 'GET',
    path: '/v1/refusals',
    summary: 'The latest refusals of an environment, newest first.',
    role: 'viewer',
    scope: 'one',
    query: inEnvironment,
  },
  'list-drills': {
    method: 'GET',
    path: '/v1/drills',
    summary: 'The latest drill run of every endpoint.',
    role: 'viewer',
    scope: 'one',
    query: inEnvironment,
  },
  'show-drill-run': {
    method: 'GET',
    path: '/v1/drills/:runId',
    summary: 'Show one drill run with its verdicts.',
    role: 'viewer',
    scope: 'record',
    params: Type.Object({ runId: idOf('drill') }),
  },
  'order-drills': {
    method: 'POST',
    path: '/v1/drills',
    summary: 'Fire every drill now, at one endpoint or at all that are enforced.',
    role: 'operator',
    scope: 'one',
    body: Type.Object({ environment: Type.Optional(label), endpoint: Type.Optional(name), reason: Type.Optional(reason) }, strict),
  },
} as const satisfies RouteTable;
