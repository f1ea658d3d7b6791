import type { FilterSchema } from '../messages/generated/envoy/config/listener/v3/listener_components_pb.ts';
import { ConnectionLimitSchema } from '../messages/generated/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts';
import { extension, type Init } from './pack.ts';

/** How many connections of a chain may be open at a time, over all workers of Envoy. */
export function connectionLimit(name: string, maximum: number): Init<typeof FilterSchema> {
  return extension('envoy.filters.network.connection_limit', ConnectionLimitSchema, {
    statPrefix: name,
    maxConnections: BigInt(maximum || DEFAULT_CONNECTIONS),
  });
}

const DEFAULT_CONNECTIONS = 16_000;
