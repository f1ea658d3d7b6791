/** A program of the bench: a mutual TLS server of `node:http2` that does for each ADS stream as little as can be done. */
import { constants } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../src/core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import type { SeededFleet } from './seed-fleet.ts';

process.on('disconnect', () => process.exit());
process.once('message', (fleetFile: string) => void serve(fleetFile));

async function serve(fleetFile: string): Promise<void> {
  const { members, keyPem } = JSON.parse(await readFile(fleetFile, 'utf8')) as SeededFleet;
  const server = createSecureServer({
    cert: members[0]!.chainPem,
    key: keyPem,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => answer(stream, chunk));
  });
  server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
}

/** One resource of one kilobyte for each subscription. Requests of this size come in one piece. */
function answer(stream: ServerHttp2Stream, chunk: Buffer): void {
  const { typeUrl, resourceNamesSubscribe } = fromBinary(DeltaDiscoveryRequestSchema, chunk.subarray(5, 5 + chunk.readUInt32BE(1)));
  if (resourceNamesSubscribe.length === 0) return;
  const resources = resourceNamesSubscribe.map((name) => ({ name, version: '1', resource: { typeUrl, value: Buffer.alloc(1_024) } }));
  const octets = toBinary(DeltaDiscoveryResponseSchema, create(DeltaDiscoveryResponseSchema, { typeUrl, nonce: '1', resources }));
  const frame = Buffer.alloc(5 + octets.length);
  frame.writeUInt32BE(octets.length, 1);
  frame.set(octets, 5);
  stream.write(frame);
}
