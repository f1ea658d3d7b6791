import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  AggregatedDiscoveryService,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '../../src/core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import type { RpcConnection } from '../../src/dataplane/link/rpc-connection.ts';

type WireStream = { write(message: never): unknown; on(event: string, listener: (value: never) => void): unknown };

/** A client of discovery that says exactly what a test has it say, good or bad. */
export class XdsClient<Init, Response extends { readonly typeUrl: string; readonly nonce: string }> {
  readonly #stream: WireStream;
  readonly #make: (init: Init) => unknown;
  readonly #waiting: Response[] = [];
  #wake: () => void = () => {};
  /** Why the server ended the stream. */
  readonly ended: Promise<{ readonly code?: number; readonly details?: string }>;

  constructor(stream: WireStream, make: (init: Init) => unknown) {
    this.#stream = stream;
    this.#make = make;
    const { promise, resolve } = Promise.withResolvers<{ readonly code?: number; readonly details?: string }>();
    this.ended = promise;
    stream.on('data', (response: never) => {
      this.#waiting.push(response);
      this.#wake();
    });
    stream.on('error', (error: never) => {
      resolve(error);
      this.#wake();
    });
  }

  say(init: Init): void {
    this.#stream.write(this.#make(init) as never);
  }

  /** The next response that was not taken yet, of this type if one is given. */
  async next(typeUrl?: string): Promise<Response> {
    for (;;) {
      const at = this.#waiting.findIndex((response) => typeUrl === undefined || response.typeUrl === typeUrl);
      if (at >= 0) return this.#waiting.splice(at, 1)[0]!;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** What came and was not taken. */
  async taken(): Promise<readonly Response[]> {
    return this.#waiting.splice(0);
  }

  /** The same, once the server has answered something else that was asked after it, twice. Of the incremental variant, which answers for what it has not. */
  async rest(): Promise<readonly Response[]> {
    for (let turn = 0; turn < 2; turn++) {
      const typeUrl = `type.test/barrier-${(this.#barriers += 1)}`;
      this.say({ typeUrl, resourceNamesSubscribe: ['x'] } as Init);
      this.say({ typeUrl, responseNonce: (await this.next(typeUrl)).nonce } as Init);
    }
    return this.taken();
  }

  #barriers = 0;
}

export type DeltaClient = XdsClient<MessageInitShape<typeof DeltaDiscoveryRequestSchema>, DeltaDiscoveryResponse>;
export type SotwClient = XdsClient<MessageInitShape<typeof DiscoveryRequestSchema>, DiscoveryResponse>;

export function openDelta(connection: RpcConnection): DeltaClient {
  const stream = connection.stream(AggregatedDiscoveryService.method.deltaAggregatedResources);
  return new XdsClient(stream as never, (init) => create(DeltaDiscoveryRequestSchema, init));
}

export function openSotw(connection: RpcConnection): SotwClient {
  const stream = connection.stream(AggregatedDiscoveryService.method.streamAggregatedResources);
  return new XdsClient(stream as never, (init) => create(DiscoveryRequestSchema, init));
}

/** `Cluster a=1 -b`: what a response of test resources says. */
export function brief({ typeUrl, resources, removedResources }: DeltaDiscoveryResponse): string {
  const said = resources.map(({ name, resource }) => `${name}=${Buffer.from(resource!.value).toString()}`);
  return [typeUrl.slice(typeUrl.lastIndexOf('.') + 1), ...said, ...removedResources.map((name) => `-${name}`)].join(' ');
}
