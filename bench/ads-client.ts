/** A program of the bench: many data planes of which each has one mutual TLS connection with one ADS stream, as `node:http2` gives them. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { readFile } from 'node:fs/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../src/core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  LISTENER_TYPE,
  REVOKED_SET_TYPE,
  ROUTE_TYPE,
  SECRET_TYPE,
  SETTINGS_TYPE,
  TICKET_KEYS_TYPE,
  TRUST_BUNDLE_TYPE,
} from '../src/core/messages/type-urls.ts';
import type { FleetMember, SeededFleet } from './seed-fleet.ts';

export type ClientOrder =
  /** Connects these members of the fleet in the file; `ready` when each has acknowledged all that it asked for. */
  | {
      readonly kind: 'connect';
      readonly port: number;
      readonly fleetFile: string;
      readonly from: number;
      readonly to: number;
      /** What they ask for: what a data plane of ours does, or what an Envoy does. */
      readonly plane?: 'native' | 'envoy';
    }
  /** From now on counts acknowledgements of this type; `acknowledged` when there is one of each. */
  | { readonly kind: 'watch'; readonly typeUrl: string };

const TRUST_DOMAIN = 'bench.example';
const PATH = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const HANDSHAKES_AT_ONCE = 16;

let streams = 0;
let watched: string | null = null;
let seen = new Set<string>();
// What is open is kept here: nothing else holds it.
const sessions: ClientHttp2Session[] = [];

process.on('disconnect', () => process.exit());
process.on('message', (order: ClientOrder) => {
  if (order.kind === 'watch') {
    watched = order.typeUrl;
    seen = new Set();
    process.send!('watching');
    return;
  }
  void connectAll(order).then(
    () => process.send!('ready'),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function connectAll({ port, fleetFile, from, to, plane = 'native' }: Extract<ClientOrder, { kind: 'connect' }>): Promise<void> {
  const { members, keyPem } = JSON.parse(await readFile(fleetFile, 'utf8')) as SeededFleet;
  const waiting = members.slice(from, to);
  streams = waiting.length;
  const work = async (): Promise<void> => {
    for (let member = waiting.shift(); member !== undefined; member = waiting.shift())
      await follow(port, member, { key: keyPem, wants: wants[plane](member.proxyId) });
  };
  await Promise.all(Array.from({ length: HANDSHAKES_AT_ONCE }, work));
}

type Wants = { readonly key: string; readonly wants: readonly (readonly [typeUrl: string, name: string])[] };

const wants = {
  native: (proxyId: string) =>
    [
      [TRUST_BUNDLE_TYPE, TRUST_DOMAIN],
      [REVOKED_SET_TYPE, TRUST_DOMAIN],
      [TICKET_KEYS_TYPE, proxyId],
      [SETTINGS_TYPE, proxyId],
    ] as const,
  // Of all types everything: a real one names what its clusters and listeners name, which is everything as well.
  envoy: () => [CLUSTER_TYPE, ENDPOINT_TYPE, SECRET_TYPE, LISTENER_TYPE, ROUTE_TYPE].map((typeUrl) => [typeUrl, '*'] as const),
};

/** Resolves when everything that a data plane asks for was answered. */
function follow(port: number, { proxyId, chainPem }: FleetMember, { key, wants: waiting }: Wants): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let asked = 0;
  // The bench measures cost, not trust: it started this server itself a moment ago.
  const session = connect(`https://127.0.0.1:${port}`, { cert: chainPem, key, rejectUnauthorized: false });
  sessions.push(session);
  const fail = (error: Error): void => reject(error);
  session.on('error', fail);
  session.on('close', () => reject(new Error('the control plane closed a connection')));
  const stream = session.request({ ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' });
  stream.on('error', fail);
  const ask = (): void => {
    const next = waiting[asked++];
    if (next === undefined) return resolve();
    send(stream, create(DeltaDiscoveryRequestSchema, { typeUrl: next[0], resourceNamesSubscribe: [next[1]] }));
  };
  readMessages(stream, (octets) => {
    const { typeUrl, nonce, resources, removedResources } = fromBinary(DeltaDiscoveryResponseSchema, octets);
    if (removedResources.length > 0 || resources.length === 0) return fail(new Error(`nothing of ${typeUrl} for ${proxyId}`));
    send(stream, create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce: nonce }));
    if (typeUrl === waiting[asked - 1]?.[0]) ask();
    note(typeUrl, proxyId);
  });
  ask();
  return promise;
}

function note(typeUrl: string, proxyId: string): void {
  if (typeUrl !== watched) return;
  seen.add(proxyId);
  if (seen.size === streams) process.send!('acknowledged');
}

function send(stream: ClientHttp2Stream, request: DeltaDiscoveryRequest): void {
  const octets = toBinary(DeltaDiscoveryRequestSchema, request);
  const frame = Buffer.alloc(5 + octets.length);
  frame.writeUInt32BE(octets.length, 1);
  frame.set(octets, 5);
  stream.write(frame);
}

/** Length-prefixed messages of gRPC. */
function readMessages(stream: ClientHttp2Stream, onMessage: (octets: Uint8Array) => void): void {
  let held: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= 5 && held.length >= 5 + held.readUInt32BE(1)) {
      const end = 5 + held.readUInt32BE(1);
      onMessage(held.subarray(5, end));
      held = held.subarray(end);
    }
  });
}
