import type { Actor } from '../../control/audit/entry.ts';
import { searchEntries } from '../../control/audit/search-entries.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import type { Answer, Handlers } from './handler.ts';
import { json } from './handler.ts';
import type { logRoutes } from './log-routes.ts';

export type LogDeps = {
  readonly queries: Queries;
  readonly metrics: Metrics;
  /** @throws not-found, state-conflict */
  readonly erasePerson: (name: string, actor: Actor, now: Instant) => Promise<{ readonly rows: number }>;
  /** A file of the log by its path below `/log/`. @throws not-found */
  readonly readLogFile: (
    path: string,
  ) => Promise<{ readonly body: Uint8Array; readonly contentType: string; readonly cacheControl: string }>;
};

export function logHandlers({ queries, metrics, erasePerson, readLogFile }: LogDeps): Pick<Handlers, keyof typeof logRoutes> {
  const file = async (path: string): Promise<Answer> => {
    const { body, contentType, cacheControl } = await readLogFile(path);
    return { kind: 'octets', contentType, cacheControl, octets: body };
  };
  return {
    'search-log': async ({ query, scope }) => {
      const { type, person, contains, from, to, before, limit } = query;
      const page = await searchEntries(queries, {
        environments: scope === '*' ? null : scope,
        ...(type === undefined ? {} : { type }),
        ...(person === undefined ? {} : { person }),
        ...(contains === undefined ? {} : { contains }),
        ...(from === undefined ? {} : { from: Number(from) }),
        ...(to === undefined ? {} : { to: Number(to) }),
        ...(before === undefined ? {} : { before: Number(before) }),
        ...(limit === undefined ? {} : { limit: Number(limit) }),
      });
      return json({ items: page.entries, next: page.next });
    },
    'erase-person': async ({ body, actor, now }) => json(await erasePerson(body.name, actor, now)),
    'read-checkpoint': () => file('checkpoint'),
    'read-verifier': () => file('verifier'),
    'read-tile': ({ params }) => file(`tile/${params['*']}`),
    health: async () => json({ status: 'ok' }),
    metrics: async () => ({
      kind: 'octets',
      contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
      octets: metrics.render(),
    }),
  };
}
