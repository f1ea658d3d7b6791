import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { createHash } from 'node:crypto';
import { CLUSTER_TYPE, LISTENER_TYPE } from '../../core/messages/type-urls.ts';
import {
  AggregatedDiscoveryService,
  DeltaDiscoveryRequestSchema,
  type DiscoveryRequest,
  type DiscoveryRequestSchema,
  DiscoveryResponseSchema,
  ResourceSchema,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { type StreamMethod, streamMethod } from '../data-plane/rpc-method.ts';
import type { Channel } from './channel.ts';
import { type Dialect, type DiscoveryOptions, DiscoveryStream } from './discovery-stream.ts';
import { contentOf, type EncodedResource } from './encoded-resource.ts';
import { furthest, NO_STAMP, stampOf, versionOf } from './stamp.ts';
import type { Push, PushPlan } from './type-state.ts';

/** Aggregated discovery, state of the world (xDS `StreamAggregatedResources`), over the same sources as the incremental one. */
export function sotwMethod(options: DiscoveryOptions): StreamMethod {
  return streamMethod(
    AggregatedDiscoveryService.method.streamAggregatedResources,
    'node',
    (stream, { node }) => new DiscoveryStream(stream, node, new SotwDialect(), options),
  );
}

/**
 * Each response for listeners and clusters holds all of them, because who is not in it is removed; of other types it holds what changed. What is kept in
 * an older form, because its present one was refused, is therefore sent again as it was.
 */
export class SotwDialect implements Dialect<typeof DiscoveryRequestSchema> {
  readonly #types = new Map<string, SotwType>();

  read(request: DiscoveryRequest, channel: Channel | null) {
    const { typeUrl, responseNonce, resourceNames, errorDetail, versionInfo } = request;
    const type = this.#typeOf(typeUrl);
    if (channel === null) {
      type.isReturning = versionInfo !== '';
      // What it has is one number for all of it; it is noted under no name.
      const initialResourceVersions = versionInfo === '' ? {} : { '': versionInfo };
      type.claimed = versionInfo;
      return create(DeltaDiscoveryRequestSchema, { typeUrl, resourceNamesSubscribe: resourceNames, initialResourceVersions });
    }
    // A request that answers something older is of a state that has passed (xDS, "ACK, NACK, and resource type instance version").
    if (responseNonce !== type.nonce) return null;
    const wanted = new Set(resourceNames);
    const { named, wildcard } = channel.state;
    const isStillAll = wildcard && wanted.size === 0;
    return create(DeltaDiscoveryRequestSchema, {
      typeUrl,
      responseNonce,
      resourceNamesSubscribe: isStillAll ? [] : [...wanted].filter((name) => (name === '*' ? !wildcard : !named.has(name))),
      resourceNamesUnsubscribe: [
        ...(isStillAll || wanted.has('*') || !wildcard ? [] : ['*']),
        ...[...named].filter((name) => !wanted.has(name)),
      ],
      ...(errorDetail === undefined ? {} : { errorDetail }),
    });
  }

  /** After a reconnect nobody knows any more in which older form the client has it: what is left out would be removed. */
  isHeld(channel: Channel, current: readonly EncodedResource[]): boolean {
    const type = this.#typeOf(channel.source.typeUrl);
    if (!isWhole(channel) || !type.isReturning) return false;
    const { refused } = channel.state;
    return current.some(
      ({ name, version, withheld }) => (withheld === true || refused.get(name) === contentOf(version)) && !type.inForce.has(name),
    );
  }

  write(channel: Channel, { nonce, resources }: PushPlan & { readonly nonce: string }): Uint8Array | null {
    const type = this.#typeOf(channel.source.typeUrl);
    const { known } = channel.state;
    const sent = new Map(resources.map((resource) => [resource.name, resource]));
    if (isWhole(channel))
      for (const [name, held] of type.inForce) if (typeof known.get(name) === 'string' && !sent.has(name)) sent.set(name, held);
    const all = [...sent.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const versionInfo = versionOfAll(all);
    if (isWhole(channel) ? contentOf(type.claimed) === contentOf(versionInfo) : all.length === 0) {
      // It came back with all of it, or is to forget something, which this variant does by not speaking of it.
      for (const resource of all) type.inForce.set(resource.name, resource);
      return null;
    }
    type.nonce = nonce;
    type.claimed = '';
    const { typeUrl } = channel.source;
    return toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, { versionInfo, typeUrl, nonce, resources: all.map(bodyOf) }));
  }

  maximumPerResponse(channel: Channel): number {
    return isWhole(channel) ? Number.POSITIVE_INFINITY : channel.source.maximumPerResponse;
  }

  answered({ source }: Channel, { resources, removed }: Push, isRefused: boolean): void {
    const { inForce } = this.#typeOf(source.typeUrl);
    for (const name of removed) inForce.delete(name);
    for (const resource of isRefused ? [] : resources) inForce.set(resource.name, resource);
  }

  #typeOf(typeUrl: string): SotwType {
    const type = this.#types.get(typeUrl) ?? { nonce: '', claimed: '', isReturning: false, inForce: new Map() };
    this.#types.set(typeUrl, type);
    return type;
  }
}

type SotwType = {
  /** Of the last response. */
  nonce: string;
  /** The version that the client came with, until it was compared. */
  claimed: string;
  isReturning: boolean;
  /** What the client acknowledged, where responses hold all. */
  readonly inForce: Map<string, EncodedResource>;
};

function isWhole({ source }: Channel): boolean {
  return source.typeUrl === LISTENER_TYPE || source.typeUrl === CLUSTER_TYPE;
}

/** One version for all: the furthest state, and a digest over names and contents. */
function versionOfAll(resources: readonly EncodedResource[]): string {
  const hash = createHash('sha256');
  let stamp = NO_STAMP;
  for (const { name, version } of resources) {
    hash.update(`${name}\n${contentOf(version)}\n`);
    stamp = furthest(stamp, stampOf(version) ?? NO_STAMP);
  }
  return versionOf(stamp, hash.digest('hex').slice(0, DIGEST_CHARACTERS));
}

function bodyOf({ body }: EncodedResource) {
  return fromBinary(ResourceSchema, body).resource!;
}

const DIGEST_CHARACTERS = 32;
