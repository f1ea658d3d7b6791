import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { ExceptionRecord, PathRecord } from './record.ts';

/**
 * The exception under which the server of this endpoint may speak old TLS now: the one that lasts longest, of the endpoint or of one of
 * these paths to it; null if there is none.
 */
export function oldTlsExceptionOf(
  endpointId: EntityId<'endpoint'>,
  { paths, exceptions }: { readonly paths: readonly PathRecord[]; readonly exceptions: readonly ExceptionRecord[] },
  now: Instant,
): ExceptionRecord | null {
  const pathIds = new Set(paths.filter((path) => path.endpointId === endpointId).map(({ id }) => id));
  const current = exceptions.filter(
    ({ kind, of, until }) =>
      kind === 'legacy-tls-hop' && until > now && (of.kind === 'path' ? pathIds.has(of.pathId) : of.endpointId === endpointId),
  );
  return current.toSorted((a, b) => b.until - a.until)[0] ?? null;
}
