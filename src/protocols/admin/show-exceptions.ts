import type { Scope } from '../../control/access/principal.ts';
import type { ExceptionRecord } from '../../control/inventory/record.ts';
import { listEndpoints, listExceptions } from '../../control/inventory/store.ts';
import { readExceptedUse } from '../../control/telemetry/read-telemetry.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** An exception as it is listed: what it lets in, whether it is over, and how much it was used. */
export type ShownException = Omit<ExceptionRecord, 'anonymous'> & {
  /** Null of one of a path. */
  readonly endpoint: string | null;
  readonly ended: boolean;
  readonly sources: readonly string[];
  readonly calls: readonly { readonly methods: readonly string[]; readonly host: string; readonly path: string }[];
  readonly serverName: string;
  /** Calls (connections of raw TCP) under it of the last day, as the receivers counted them; null of the kinds that let nobody in. */
  readonly used: { readonly count: number; readonly lastSeenAt: Instant | null } | null;
};

export async function showExceptions(queries: Queries, scope: Scope, now: Instant): Promise<readonly ShownException[]> {
  const exceptions = await listExceptions(queries, scope);
  const endpoints = new Map((await listEndpoints(queries, scope)).map((endpoint) => [endpoint.id, endpoint]));
  const uses = exceptions.some(({ anonymous }) => anonymous !== null) ? await readExceptedUse(queries, scope, now - DAY_MS) : [];
  return exceptions.map(({ anonymous, ...exception }) => {
    const endpoint = exception.of.kind === 'endpoint' ? (endpoints.get(exception.of.endpointId) ?? null) : null;
    const unit = endpoint?.protocol === 'tcp' ? 'connection' : 'call';
    const use = uses.find((row) => row.exception === exception.name && row.endpoint_id === endpoint?.id && row.unit === unit);
    return {
      ...exception,
      endpoint: endpoint?.name ?? null,
      ended: exception.until <= now,
      ...(anonymous ?? { sources: [], calls: [], serverName: '' }),
      used: anonymous === null ? null : { count: use?.total ?? 0, lastSeenAt: use?.last_at ?? null },
    };
  });
}
