import { create } from '@bufbuild/protobuf';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type Resource,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import type { Outgoing } from '../../platform/grpc/method-definition.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Acknowledgement } from './link-handlers.ts';

/** One resource type that a data plane wants, and what becomes of its resources. */
export type Subscription = {
  readonly typeUrl: string;
  /** Names, or `*`. */
  readonly names: readonly string[];
  apply(name: string, octets: Uint8Array): Promise<Acknowledgement>;
  /** There is none of this name any more; absent: what is in force stays. */
  remove?(name: string): Promise<void>;
};

/** Versions in force, by type and name. They outlive a connection: the next one is told them and gets only differences. */
export type AppliedVersions = Map<string, Map<string, string>>;

type Stream = ClientDuplexStream<Outgoing<typeof DeltaDiscoveryRequestSchema>, DeltaDiscoveryResponse>;

export type SubscriptionOptions = {
  readonly subscriptions: readonly Subscription[];
  readonly applied: AppliedVersions;
  readonly log: Log;
  /** Runs the changes of one type one after another, over all connections. */
  readonly inOrder: <T>(typeUrl: string, change: () => Promise<T>) => Promise<T>;
  /** The number of this connection; a later one has a higher number. */
  readonly turn: number;
  /** By type, the highest number of a connection that spoke of it. It outlives a connection. */
  readonly spoken: Map<string, number>;
  /** Told once, when every subscription was answered. */
  readonly synchronized: () => void;
};

export const deltaMethod = AggregatedDiscoveryService.method.deltaAggregatedResources;

/**
 * The client half of xDS delta on one stream. Types are asked for one after another, in the order given: what a later one builds on
 * is in force before it arrives (make before break).
 */
export function runSubscriptions(stream: Stream, options: SubscriptionOptions): void {
  const waiting = [...options.subscriptions];
  const asked = new Map<string, Subscription>();
  let awaited: string | null = null;
  const askNext = (): void => {
    awaited = null;
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      asked.set(next.typeUrl, next);
      stream.write(firstRequest(next, options.applied));
      // What this process never had is always answered; what it has may be answered by silence.
      if ((options.applied.get(next.typeUrl)?.size ?? 0) === 0) {
        awaited = next.typeUrl;
        return;
      }
    }
    options.synchronized();
  };
  stream.on('data', (response: DeltaDiscoveryResponse) => {
    // No pause: there is at most one response per type under way, and a slow one must not hold up a revocation.
    const handle = async (): Promise<void> => {
      // Where two connections overlap, the older one's response may arrive last, and would bring back what the newer one's replaced.
      if ((options.spoken.get(response.typeUrl) ?? 0) > options.turn) return;
      options.spoken.set(response.typeUrl, options.turn);
      const subscription = asked.get(response.typeUrl);
      const answer =
        subscription === undefined
          ? refusal(response, 'this type was never asked for')
          : await applyResponse(response, subscription, options);
      stream.write(answer);
      if (awaited === response.typeUrl) askNext();
    };
    void options.inOrder(response.typeUrl, handle).catch((error: unknown) => options.log('error', 'link.response-failed', { error }));
  });
  askNext();
}

async function applyResponse(
  response: DeltaDiscoveryResponse,
  subscription: Subscription,
  options: SubscriptionOptions,
): Promise<DeltaDiscoveryRequest> {
  const versions = options.applied.get(subscription.typeUrl) ?? new Map<string, string>();
  options.applied.set(subscription.typeUrl, versions);
  for (const name of response.removedResources) {
    versions.delete(name);
    options.log('info', 'link.resource-absent', { typeUrl: subscription.typeUrl, name });
    await subscription.remove?.(name);
  }
  const reasons: string[] = [];
  for (const resource of response.resources) {
    const result = await applyResource(resource, subscription, options.log);
    if (result.kind === 'accepted') versions.set(resource.name, resource.version);
    else reasons.push(`${resource.name}: ${result.reason}`);
  }
  return reasons.length > 0
    ? refusal(response, reasons.join('; '))
    : create(DeltaDiscoveryRequestSchema, { typeUrl: response.typeUrl, responseNonce: response.nonce });
}

async function applyResource(resource: Resource, subscription: Subscription, log: Log): Promise<Acknowledgement> {
  if (resource.resource?.typeUrl !== subscription.typeUrl) return { kind: 'refused', reason: 'the resource is of another type' };
  try {
    return await subscription.apply(resource.name, resource.resource.value);
  } catch (error) {
    log('error', 'link.resource-failed', { typeUrl: subscription.typeUrl, name: resource.name, error });
    return { kind: 'refused', reason: error instanceof Error ? error.message : 'it could not be applied' };
  }
}

function firstRequest({ typeUrl, names }: Subscription, applied: AppliedVersions): DeltaDiscoveryRequest {
  return create(DeltaDiscoveryRequestSchema, {
    typeUrl,
    resourceNamesSubscribe: [...names],
    initialResourceVersions: Object.fromEntries(applied.get(typeUrl) ?? []),
  });
}

function refusal(response: DeltaDiscoveryResponse, reason: string): DeltaDiscoveryRequest {
  return create(DeltaDiscoveryRequestSchema, {
    typeUrl: response.typeUrl,
    responseNonce: response.nonce,
    errorDetail: { code: INVALID_ARGUMENT, message: reason.slice(0, MAXIMUM_REASON) },
  });
}

/** google.rpc.Code. */
const INVALID_ARGUMENT = 3;
const MAXIMUM_REASON = 1_000;
