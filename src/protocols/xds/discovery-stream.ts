import type { DeltaDiscoveryRequest } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { Problem } from '../../core/problems/problem.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Node } from '../data-plane/peer.ts';
import type { ServerStream, StreamHandler } from '../data-plane/rpc-method.ts';
import { Violation } from '../data-plane/violation.ts';
import { type Channel, inOrder, newChannel, othersOf, oweEndpoints, unreadyClusters } from './channel.ts';
import type { EncodedResource } from './encoded-resource.ts';
import { isAwaited, mayAdd, mayEndConnections, mayRemove } from './push-order.ts';
import type { Answer, ResourceSource } from './resource-source.ts';
import { applySubscriptions, beginPush, endPush, firstState, NOTHING_CLAIMED, planPush, type Push, type PushPlan } from './type-state.ts';

export type DiscoveryOptions<Holder = Node> = {
  readonly sources: readonly ResourceSource<Holder>[];
  /** Durable when it resolves. The same acknowledgement may come more than once. */
  readonly recordAcknowledgement: (answer: Answer, node: Holder) => Promise<void>;
  /** Told of each stream that asks for a type of ours, as a data plane does; disposed of when the stream has ended. */
  readonly attend?: (node: Holder) => Disposable;
  readonly log: Log;
  /** How long a push may stay without an answer, 60 s if not given. */
  readonly acknowledgeTimeoutMs?: number;
};

/** How one variant of the protocol writes what the stream has to say. A new one for each stream. */
export type Dialect<Request extends DescMessage> = {
  /** The request in the words of the incremental variant; null if it says nothing, such as one that answers something older. */
  read(request: MessageShape<Request>, channel: Channel<unknown> | null): DeltaDiscoveryRequest | null;
  /** True if what is there now cannot be told to this client without taking away what it is to keep. */
  isHeld(channel: Channel<unknown>, current: readonly EncodedResource[]): boolean;
  /** The octets of a response; null if this variant has no way to say it, and so says nothing. */
  write(channel: Channel<unknown>, response: PushPlan & { readonly nonce: string }): Uint8Array | null;
  maximumPerResponse(channel: Channel<unknown>): number;
  /** Told of each push that was acknowledged or, in the other case, refused. */
  answered(channel: Channel<unknown>, push: Push, isRefused: boolean): void;
};

/** The server half of one discovery stream: at most one push per type is under way, later changes are merged into the next. */
export class DiscoveryStream<Request extends DescMessage, Holder = Node> implements StreamHandler<Request> {
  readonly #stream: ServerStream<DescMessage>;
  readonly #dialect: Dialect<Request>;
  readonly #node: Holder;
  readonly #sources: ReadonlyMap<string, ResourceSource<Holder>>;
  readonly #options: DiscoveryOptions<Holder>;
  readonly #channels = new Map<string, Channel<Holder>>();
  #records: Promise<void> = Promise.resolve();
  #nonce = 0;
  #writable = true;
  #closed = false;
  readonly #attendances = new Map<'own' | 'envoy', Disposable>();

  constructor(stream: ServerStream<DescMessage>, node: Holder, dialect: Dialect<Request>, options: DiscoveryOptions<Holder>) {
    this.#stream = stream;
    this.#dialect = dialect;
    this.#node = node;
    this.#sources = new Map(options.sources.map((source) => [source.typeUrl, source]));
    this.#options = options;
  }

  message(received: MessageShape<Request> & { readonly typeUrl: string }): void {
    const { typeUrl } = received;
    const source = this.#sources.get(typeUrl) ?? nothingOf(typeUrl);
    const channel = this.#channels.get(typeUrl) ?? null;
    const request = this.#dialect.read(received, channel);
    if (request === null) return;
    for (const name of request.resourceNamesSubscribe) {
      const reason = source.forbids(this.#node, name);
      if (reason !== null) throw new Violation(reason, `${typeUrl.slice(0, 100)} ${JSON.stringify(name.slice(0, 100))}`);
    }
    if (channel === null) {
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
    this.#closed = true;
    for (const attendance of this.#attendances.values()) attendance[Symbol.dispose]();
    this.#attendances.clear();
    for (const { subscription, timer } of this.#channels.values()) {
      subscription[Symbol.dispose]();
      if (timer !== null) clearTimeout(timer);
    }
  }

  #open(source: ResourceSource<Holder>, request: DeltaDiscoveryRequest): void {
    if (this.#channels.size >= MAXIMUM_TYPES)
      throw new Problem('input-invalid', `Cannot subscribe: ${this.#channels.size} types already, expected at most that`);
    const state = firstState(request);
    const wildcardReason = state.wildcard ? source.forbids(this.#node, '*') : null;
    if (wildcardReason !== null) throw new Violation(wildcardReason, `${source.typeUrl.slice(0, 100)} "*"`);
    const changed = (names: readonly string[] | null): void => {
      if (source.ordered !== undefined) this.#changedAll();
      else if (names === null || state.wildcard || names.some((name) => state.named.has(name))) this.#poke(channel);
    };
    // One of the ordered types hears for all.
    const isHeard = source.ordered !== undefined && inOrder(this.#channels).length > 0;
    const subscription = isHeard ? { [Symbol.dispose]() {} } : source.subscribe(changed);
    const channel = newChannel(source, state, subscription);
    if (source.ordered !== undefined) channel.begun = this.#begin(source.ordered, state);
    this.#channels.set(source.typeUrl, channel);
    this.#attend(source);
    this.#poke(channel);
  }

  async #begin(ordered: NonNullable<ResourceSource<Holder>['ordered']>, state: Channel['state']): Promise<void> {
    for (const [name, content] of await ordered.begin(this.#node, state.claimed)) state.refused.set(name, content);
  }

  /** A data plane of ours is there, or its Envoy: one is not taken for the other. */
  #attend({ typeUrl, ordered }: ResourceSource<Holder>): void {
    const kind = ordered !== undefined ? 'envoy' : isOwnType(typeUrl) ? 'own' : null;
    if (kind === null || this.#attendances.has(kind)) return;
    const attendance = kind === 'own' ? this.#options.attend?.(this.#node) : ordered?.attend(this.#node);
    if (attendance !== undefined) this.#attendances.set(kind, attendance);
  }

  /** A response is acknowledged or refused by its nonce; an error makes it a refusal, never a comparison of versions. */
  #answered(channel: Channel<Holder>, { responseNonce, errorDetail }: DeltaDiscoveryRequest): void {
    const push = endPush(channel.state, responseNonce, errorDetail === undefined ? null : errorDetail.message);
    if (push === null) return;
    this.#dialect.answered(channel, push, errorDetail !== undefined);
    if (channel.timer !== null) clearTimeout(channel.timer);
    const refusal = errorDetail === undefined ? {} : { refusal: errorDetail.message.slice(0, MAXIMUM_REFUSAL) };
    // Of several it is not known which was refused: they come again one by one.
    const isUnsure = errorDetail !== undefined && push.resources.length > 1;
    for (const resource of isUnsure ? [] : push.resources) this.#record(channel, resource, refusal);
    if (channel.source.ordered !== undefined) this.#pokeWaiting(channel);
  }

  #record({ source }: Channel<Holder>, { name, version }: EncodedResource, refusal: { readonly refusal?: string }): void {
    const answer = { typeUrl: source.typeUrl, name, version, ...refusal };
    this.#records = this.#records
      .then(() => this.#options.recordAcknowledgement(answer, this.#node))
      .catch((error: unknown) => this.#fail(error));
  }

  /** Reads and sends until nothing is due, a push is under way, or the receiver is slow. */
  #poke(channel: Channel<Holder>): void {
    channel.dirty = true;
    if (channel.busy) {
      channel.again = true;
      return;
    }
    channel.busy = true;
    channel.again = false;
    this.#push(channel).then(
      () => {
        channel.busy = false;
        // Poked while it ended.
        if (channel.again) this.#poke(channel);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #push(channel: Channel<Holder>): Promise<void> {
    const { state, source } = channel;
    const { ordered } = source;
    if (channel.begun !== null) await channel.begun;
    channel.begun = null;
    while (channel.dirty && !this.#closed && this.#writable) {
      const isOutstanding = state.outstanding !== null;
      if (isOutstanding && (ordered === undefined || !isAwaited(ordered.place))) return;
      if (ordered !== undefined && !mayAdd(ordered.place, othersOf(inOrder(this.#channels), channel))) return;
      channel.dirty = false;
      const { revision } = state;
      const current = await source.read(this.#node, state.wildcard ? null : [...new Set([...state.named, ...state.owed])]);
      const isHeld = this.#dialect.isHeld(channel, current) || (ordered !== undefined && (await ordered.isHeld(this.#node)));
      if (isHeld) return this.#settle(channel);
      if (this.#closed) return;
      // A name asked for while this was read is not in `current`, and so may not be called absent.
      if (state.revision !== revision) continue;
      this.#recordClaims(channel, current);
      const holdsRemovals = ordered !== undefined && !mayRemove(ordered.place, othersOf(inOrder(this.#channels), channel));
      const unready = unreadyClusters(inOrder(this.#channels));
      const holdsLate = ordered !== undefined && !mayEndConnections(ordered.place, othersOf(inOrder(this.#channels), channel));
      const maximumPerResponse = this.#dialect.maximumPerResponse(channel);
      const plan = planPush(state, current, { maximumPerResponse, holdsRemovals, holdsLate, unready });
      channel.isBehind = plan.behind;
      // The answer may have come while this was read, or a change.
      if (state.outstanding !== null) {
        channel.dirty = true;
        return plan.urgent ? undefined : this.#settle(channel);
      }
      if (plan.due) this.#send(channel, plan);
      if (!plan.more) this.#settle(channel);
      if (plan.due || !(plan.holds || plan.waits)) continue;
      channel.dirty = true;
      return;
    }
  }

  #send(channel: Channel<Holder>, plan: PushPlan): void {
    const { state, source } = channel;
    const nonce = `${++this.#nonce}`;
    beginPush(state, plan, nonce);
    // What did not fit goes after the acknowledgement.
    channel.dirty = true;
    const octets = this.#dialect.write(channel, { nonce, ...plan });
    if (octets === null) {
      endPush(state, nonce, null);
      return;
    }
    if (source.ordered === undefined) channel.timer = this.#startTimer();
    this.#writable = this.#stream.send(octets);
    const owing = source.ordered?.place === 'cluster' ? oweEndpoints(inOrder(this.#channels), plan.resources) : null;
    if (owing !== null) this.#poke(owing);
  }

  /** Not for ordered types: Envoy may answer only once something else has come, from us or from its companion. */
  #startTimer(): NodeJS.Timeout {
    return setTimeout(
      () => this.#fail(new Problem('state-conflict', 'Cannot keep stream: a response was not acknowledged in time')),
      this.#timeoutMs,
    ).unref();
  }

  /** What one of them refers to may have changed with it: none is settled until all were looked at. */
  #changedAll(): void {
    const channels = inOrder(this.#channels);
    for (const channel of channels) channel.settled = false;
    for (const channel of channels) this.#poke(channel);
  }

  #settle(channel: Channel<Holder>): void {
    if (channel.settled || channel.source.ordered === undefined) return;
    channel.settled = true;
    this.#pokeWaiting(channel);
  }

  #pokeWaiting(channel: Channel<Holder>): void {
    for (const other of inOrder(this.#channels)) if (other !== channel && other.dirty) this.#poke(other);
  }

  /** A client that came back with the current version has it in force: that counts, its acknowledgement may have been lost. */
  #recordClaims(channel: Channel<Holder>, current: readonly EncodedResource[]): void {
    const isNews = channel.state.claimed.size > 0 && channel.source.ordered === undefined;
    for (const resource of isNews ? current : []) {
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
function nothingOf(typeUrl: string): ResourceSource<unknown> {
  return { typeUrl, maximumPerResponse: 1, forbids: () => null, read: async () => [], subscribe: () => ({ [Symbol.dispose]() {} }) };
}

function isOwnType(typeUrl: string): boolean {
  return typeUrl.startsWith('type.googleapis.com/countersign.');
}

const MAXIMUM_TYPES = 16;
const MAXIMUM_REFUSAL = 1_000;
/** A proxy acknowledges after it listens and checked itself; a second is much. */
const ACKNOWLEDGE_TIMEOUT_MS = 60_000;
