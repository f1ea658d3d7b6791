import { create } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { EnvoyResource } from '../../src/core/envoy/envoy-resource.ts';
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '../../src/core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';

/** What Envoy did not take. */
export type Nack = { readonly typeUrl: string; readonly names: readonly string[]; readonly message: string };

export type DeltaStream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** The one stream of ADS, and what is known of it. */
export class AdsFeed {
  readonly #wanted = new Map<string, Map<string, EnvoyResource>>();
  readonly #sent = new Map<string, Map<string, string>>();
  readonly #subscribed = new Map<string, Set<string>>();
  readonly #outstanding = new Map<string, { readonly typeUrl: string; readonly names: readonly string[] }>();
  #stream: DeltaStream | null = null;
  #nonce = 0;
  #nacks: Nack[] = [];
  #onQuiet: (() => void) | null = null;

  get isAttached(): boolean {
    return this.#stream !== null;
  }

  attach(stream: DeltaStream): void {
    this.#stream = stream;
    stream.on('error', () => {});
    stream.on('data', (request: DeltaDiscoveryRequest) => this.#take(request));
  }

  async put(resources: readonly EnvoyResource[]): Promise<readonly Nack[]> {
    this.#nacks = [];
    this.#wanted.clear();
    for (const one of resources) mapOf(this.#wanted, one.typeUrl).set(one.name, one);
    const types = [...new Set([...resources.map(({ typeUrl }) => typeUrl), ...this.#sent.keys()])].toSorted(
      (a, b) => ORDER.indexOf(a) - ORDER.indexOf(b),
    );
    for (const typeUrl of types) {
      for (const resource of mapOf(this.#wanted, typeUrl).values()) this.#send(typeUrl, [resource]);
      // Envoy acknowledges no cluster before its endpoints and secrets are there.
      if (!WARMING.has(typeUrl)) await this.#quiet();
    }
    for (const typeUrl of types.toReversed()) {
      const gone = [...mapOf(this.#sent, typeUrl).keys()].filter((name) => !mapOf(this.#wanted, typeUrl).has(name));
      if (gone.length > 0) this.#remove(typeUrl, gone);
    }
    await this.#quiet();
    return this.#nacks;
  }

  #take(request: DeltaDiscoveryRequest): void {
    const { typeUrl, responseNonce, errorDetail, resourceNamesSubscribe } = request;
    const answered = this.#outstanding.get(responseNonce);
    if (answered !== undefined) {
      this.#outstanding.delete(responseNonce);
      if (errorDetail !== undefined) this.#nacks.push({ ...answered, message: errorDetail.message });
    }
    const subscribed = this.#subscribed.get(typeUrl);
    const names = subscribed ?? new Set<string>();
    if (subscribed === undefined) this.#subscribed.set(typeUrl, names);
    for (const name of resourceNamesSubscribe) names.add(name);
    for (const name of request.resourceNamesUnsubscribe) {
      names.delete(name);
      mapOf(this.#sent, typeUrl).delete(name);
    }
    if (subscribed === undefined && isWildcard(typeUrl)) this.#send(typeUrl, [...mapOf(this.#wanted, typeUrl).values()], true);
    const asked = resourceNamesSubscribe.filter((name) => name !== '*');
    const known = asked.flatMap((name) => mapOf(this.#wanted, typeUrl).get(name) ?? []);
    mapOf(this.#sent, typeUrl);
    for (const one of known) mapOf(this.#sent, typeUrl).delete(one.name);
    this.#send(typeUrl, known);
    const absent = asked.filter((name) => !mapOf(this.#wanted, typeUrl).has(name));
    if (absent.length > 0) this.#remove(typeUrl, absent);
    if (this.#outstanding.size === 0) this.#onQuiet?.();
  }

  #send(typeUrl: string, resources: readonly EnvoyResource[], always = false): void {
    const sent = mapOf(this.#sent, typeUrl);
    const names = this.#subscribed.get(typeUrl);
    const news = resources.filter(
      ({ name, digest }) => names !== undefined && (isWildcard(typeUrl) || names.has(name)) && sent.get(name) !== digest,
    );
    if (news.length === 0 && !always) return;
    for (const { name, digest } of news) sent.set(name, digest);
    // A cluster that changed waits for its endpoints, whether these did or not.
    if (typeUrl === ORDER[0]) for (const { name } of news) mapOf(this.#sent, ORDER[1]!).delete(name);
    this.#write(typeUrl, news, []);
  }

  #remove(typeUrl: string, names: readonly string[]): void {
    for (const name of names) mapOf(this.#sent, typeUrl).delete(name);
    this.#write(typeUrl, [], names);
  }

  #write(typeUrl: string, resources: readonly EnvoyResource[], removed: readonly string[]): void {
    const nonce = `${++this.#nonce}`;
    this.#outstanding.set(nonce, { typeUrl, names: resources.map(({ name }) => name) });
    this.#stream?.write(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce,
        removedResources: [...removed],
        resources: resources.map(({ name, digest, octets }) => ({ name, version: digest, resource: { typeUrl, value: octets } })),
      }),
    );
  }

  async #quiet(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.#outstanding.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onQuiet = resolve;
      const timer = setTimeout(resolve, deadline - performance.now());
      await promise;
      clearTimeout(timer);
      if (performance.now() > deadline)
        throw new Error(`Cannot wait any longer for answers to ${JSON.stringify([...this.#outstanding.values()])}`);
    }
  }
}

function mapOf<Value>(maps: Map<string, Map<string, Value>>, key: string): Map<string, Value> {
  const known = maps.get(key) ?? new Map<string, Value>();
  maps.set(key, known);
  return known;
}

function isWildcard(typeUrl: string): boolean {
  return typeUrl === ORDER[0] || typeUrl === ORDER[3];
}

const PREFIX = 'type.googleapis.com/envoy';
const ORDER = [
  `${PREFIX}.config.cluster.v3.Cluster`,
  `${PREFIX}.config.endpoint.v3.ClusterLoadAssignment`,
  `${PREFIX}.extensions.transport_sockets.tls.v3.Secret`,
  `${PREFIX}.config.listener.v3.Listener`,
  `${PREFIX}.config.route.v3.RouteConfiguration`,
];
const WARMING: ReadonlySet<string> = new Set(ORDER.slice(0, 2));
const PATIENCE_MS = 20_000;
