import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequestSchema,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { type StreamMethod, streamMethod } from '../data-plane/rpc-method.ts';
import { type Dialect, type DiscoveryOptions, DiscoveryStream } from './discovery-stream.ts';
import { encodeDeltaResponse } from './encoded-resource.ts';

/** Aggregated discovery, incremental (xDS `DeltaAggregatedResources`). */
export function deltaMethod(options: DiscoveryOptions): StreamMethod {
  return streamMethod(
    AggregatedDiscoveryService.method.deltaAggregatedResources,
    'node',
    (stream, { node }) => new DiscoveryStream(stream, node, deltaDialect, options),
  );
}

/** It is what the stream thinks in, and keeps nothing. */
export const deltaDialect: Dialect<typeof DeltaDiscoveryRequestSchema> = {
  read: (request) => request,
  isHeld: () => false,
  write: ({ source }, response) => encodeDeltaResponse({ typeUrl: source.typeUrl, ...response }),
  maximumPerResponse: ({ source }) => source.maximumPerResponse,
  answered() {},
};
