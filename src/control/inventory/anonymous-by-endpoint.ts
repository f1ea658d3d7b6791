import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ExceptionRecord } from './record.ts';

/** The exceptions that let somebody in without a certificate, by the endpoint that they are of. */
export function anonymousByEndpoint(exceptions: readonly ExceptionRecord[]): ReadonlyMap<EntityId<'endpoint'>, readonly ExceptionRecord[]> {
  const found = exceptions.flatMap((exception) =>
    exception.anonymous !== null && exception.of.kind === 'endpoint' ? [{ exception, endpointId: exception.of.endpointId }] : [],
  );
  return new Map(
    [...Map.groupBy(found, ({ endpointId }) => endpointId)].map(([endpointId, group]) => [
      endpointId,
      group.map(({ exception }) => exception),
    ]),
  );
}
