import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponseSchema,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Node } from '../data-plane/peer.ts';
import { type ServerStream, type StreamHandler, type StreamMethod, streamMethod } from '../data-plane/rpc-method.ts';
import { Violation } from '../data-plane/violation.ts';
import { encodeDeltaResponse, type EncodedResource } from './encoded-resource.ts';
import type { Acknowledged, ResourceSource } from './resource-source.ts';
import { applySubscriptions, beginPush, endPush, firstState, NOTHING_CLAIMED, planPush, type TypeState } from './type-state.ts';

export type DeltaOptions = {
  readonly sources: readonly ResourceSource[];
  /** Durable when it resolves. The same acknowledgement may come more than once. */
  readonly recordAcknowledgement: (acknowledged: Acknowledged) => Promise<void>;
  /** Told of each stream that opens; disposed of when the stream has ended. */
  readonly attend?: (node: Node) => Disposable;
  readonly log: Log;
  /** How long a push may stay without an answer, 60 s if not given. */
  readonly acknowledgeTimeoutMs?: number;
};

/**
 * Aggregated discovery, incremental (xDS `DeltaAggregatedResources`). The state-of-the-world variant is not mounted:
 * grpc-js answers it with UNIMPLEMENTED.
 */
export function deltaMethod(options: DeltaOptions): StreamMethod {
  const sources = new Map(options.sources.map((source) => [source.typeUrl, source]));
  return streamMethod(AggregatedDiscoveryService.method.deltaAggregatedResources, 'node', (stream, { node }) => {
    const discovery = new DeltaStream(stream, node, sources, options);
    return discovery;
  });
}

type Channel = {
  readonly source: ResourceSource;
  readonly state: TypeState;
  readonly subscription: Disposable;
  dirty: boolean;
  busy: boolean;
  timer: NodeJS.Timeout | null;
};

/** The server half of one delta stream: at most one push per type is under way, later changes are merged into the next. */
class DeltaStream implements StreamHandler<typeof DeltaDiscoveryRequestSchema> {
  readonly #stream: ServerStream<typeof DeltaDiscoveryResponseSchema>;
  readonly #node: Node;
  readonly #sources: ReadonlyMap<string, ResourceSource>;
  readonly #options: DeltaOptions;
  readonly #channels = new Map<string, Channel>();
  #records: Promise<void> = Promise.resolve();
  #nonce = 0;
  #writable = true;
  #closed = false;
  readonly #attendance: Disposable | null;

  constructor(
    stream: ServerStream<typeof DeltaDiscoveryResponseSchema>,
    node: Node,
    sources: ReadonlyMap<string, ResourceSource>,
    options: DeltaOptions,
  ) {
    this.#stream = stream;
    this.#node = node;
    this.#sources = sources;
    this.#options = options;
    this.#attendance = options.attend?.(node) ?? null;
  }

  message(request: DeltaDiscoveryRequest): void {
    const source = this.#sources.get(request.typeUrl) ?? nothingOf(request.typeUrl);
    for (const name of request.resourceNamesSubscribe) {
      const reason = source.forbids(this.#node, name);
      if (reason !== null) throw new Violation(reason, `${request.typeUrl.slice(0, 100)} ${JSON.stringify(name.slice(0, 100))}`);
    }
    const channel = this.#channels.get(request.typeUrl);
    if (channel === undefined) {
      this.#open(source, request);
      return;
    }
    applySubscriptions(channel.state, request);
    this.#answered(channel, request);
    this.#poke(channel);
  }

  drained(): void {
    this.#writable = true;
    for (const channel of this.#channels.values()) if (channel.dirty) this.#poke(channel);
  }

  closed(): void {
    if (!this.#closed) this.#attendance?.[Symbol.dispose]();
    this.#closed = true;
    for (const { subscription, timer } of this.#channels.values()) {
      subscription[Symbol.dispose]();
      if (timer !== null) clearTimeout(timer);
    }
  }

  #open(source: ResourceSource, request: DeltaDiscoveryRequest): void {
    if (this.#channels.size >= MAXIMUM_TYPES)
      throw new Problem('input-invalid', `Cannot subscribe: ${this.#channels.size} types already, expected at most that`);
    const state = firstState(request);
    const wildcardReason = state.wildcard ? source.forbids(this.#node, '*') : null;
    if (wildcardReason !== null) throw new Violation(wildcardReason, `${source.typeUrl.slice(0, 100)} "*"`);
    const changed = (names: readonly string[] | null): void => {
      if (names === null || state.wildcard || names.some((name) => state.named.has(name))) this.#poke(channel);
    };
    const channel: Channel = { source, state, subscription: source.subscribe(changed), dirty: false, busy: false, timer: null };
    this.#channels.set(source.typeUrl, channel);
    this.#poke(channel);
  }

  /** A response is acknowledged or refused by its nonce; an error makes it a refusal, never a comparison of versions. */
  #answered(channel: Channel, { responseNonce, errorDetail }: DeltaDiscoveryRequest): void {
    const push = endPush(channel.state, responseNonce, errorDetail !== undefined);
    if (push === null) return;
    if (channel.timer !== null) clearTimeout(channel.timer);
    const refusal = errorDetail === undefined ? {} : { refusal: errorDetail.message.slice(0, MAXIMUM_REFUSAL) };
    for (const resource of push.resources) this.#record(channel, resource, refusal);
  }

  #record({ source }: Channel, { name, version }: EncodedResource, refusal: { readonly refusal?: string }): void {
    const acknowledged = { proxyId: this.#node.proxyId, typeUrl: source.typeUrl, name, version, ...refusal };
    this.#records = this.#records
      .then(() => this.#options.recordAcknowledgement(acknowledged))
      .catch((error: unknown) => this.#fail(error));
  }

  /** Reads and sends until nothing is due, a push is under way, or the receiver is slow. */
  #poke(channel: Channel): void {
    channel.dirty = true;
    if (channel.busy) return;
    channel.busy = true;
    this.#push(channel).then(
      () => (channel.busy = false),
      (error: unknown) => this.#fail(error),
    );
  }

  async #push(channel: Channel): Promise<void> {
    const { state, source } = channel;
    while (channel.dirty && !this.#closed && this.#writable && state.outstanding === null) {
      channel.dirty = false;
      const { revision } = state;
      const current = await source.read(this.#node, state.wildcard ? null : [...state.named, ...state.owed]);
      if (this.#closed) return;
      // A name asked for while this was read is not in `current`, and so may not be called absent.
      if (state.revision !== revision) continue;
      this.#recordClaims(channel, current);
      const plan = planPush(state, current, source.maximumPerResponse);
      if (plan === null) continue;
      const nonce = `${++this.#nonce}`;
      beginPush(state, plan, nonce);
      // What did not fit goes after the acknowledgement.
      channel.dirty = true;
      channel.timer = setTimeout(
        () => this.#fail(new Problem('state-conflict', 'Cannot keep stream: a response was not acknowledged in time')),
        this.#timeoutMs,
      ).unref();
      this.#writable = this.#stream.send(encodeDeltaResponse({ typeUrl: source.typeUrl, nonce, ...plan }));
    }
  }

  /** A client that came back with the current version has it in force: that counts, its acknowledgement may have been lost. */
  #recordClaims(channel: Channel, current: readonly EncodedResource[]): void {
    for (const resource of channel.state.claimed.size === 0 ? [] : current) {
      if (channel.state.claimed.get(resource.name) === resource.version) this.#record(channel, resource, {});
    }
    channel.state.claimed = NOTHING_CLAIMED;
  }

  get #timeoutMs(): number {
    return this.#options.acknowledgeTimeoutMs ?? ACKNOWLEDGE_TIMEOUT_MS;
  }

  #fail(error: unknown): void {
    if (!this.#closed) this.#stream.close(error);
  }
}

/** A type that this release does not know: a newer data plane is told that there is none of it, and goes on. */
function nothingOf(typeUrl: string): ResourceSource {
  return { typeUrl, maximumPerResponse: 1, forbids: () => null, read: async () => [], subscribe: () => ({ [Symbol.dispose]() {} }) };
}

const MAXIMUM_TYPES = 16;
const MAXIMUM_REFUSAL = 1_000;
/** A proxy acknowledges after it listens and checked itself; a second is much. */
const ACKNOWLEDGE_TIMEOUT_MS = 60_000;
