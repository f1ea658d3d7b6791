import assert from 'node:assert/strict';
import { type Client, type sendUnaryData, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type OutboundSchema, Origination, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { callUnary, grpcClient, grpcService } from '../../../test/support/grpc-lab.ts';
import { outboundTo, ProxyLab } from '../../../test/support/proxy-lab.ts';

type Unary = (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => void;

const octets = (value: Buffer): Buffer => value;
const HEALTH = {
  check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: octets,
    requestDeserialize: octets,
    responseSerialize: octets,
    responseDeserialize: octets,
  },
} as const;

/** A server of grpc-js with a health service; returns its port. */
async function serve(lab: ProxyLab, { unary, check }: { readonly unary: Unary; readonly check: Unary }): Promise<number> {
  const { port, server } = await grpcService(lab, { unary });
  server.addService(HEALTH, { check });
  return port;
}

async function openCaller(lab: ProxyLab, ports: readonly number[], more: MessageInitShape<typeof OutboundSchema>): Promise<Client> {
  const answer = await lab.apply({ outbound: [outboundTo(ports, Origination.PLAINTEXT, { protocol: Protocol.GRPC, ...more })] });
  assert.equal(answer.kind, 'accepted');
  return grpcClient(lab, lab.portOf(0));
}

const answers =
  (name: string): Unary =>
  (_call, callback) =>
    callback(null, Buffer.from(name));
const CHECK = { intervalMs: 50, timeoutMs: 5_000, healthyAfter: 1, unhealthyAfter: 1, panicPercent: 0, grpcService: 'acme.Orders' };

test('a server of gRPC is asked by grpc.health.v1 about the service, and called only while it serves', async () => {
  await using lab = new ProxyLab();
  let health: Buffer | number = Buffer.from([8, 1]);
  const asked: string[] = [];
  const sick = await serve(lab, {
    unary: answers('sick'),
    check({ request }, callback) {
      asked.push(request.toString('latin1'));
      if (typeof health === 'number') callback({ code: health });
      else callback(null, health);
    },
  });
  const well = await serve(lab, { unary: answers('well'), check: (_call, callback) => callback(null, Buffer.from([8, 1])) });
  const client = await openCaller(lab, [sick, well], { healthCheck: CHECK });
  const lines = (event: string): number => lab.log.filter((line) => line.event === event).length;
  for (const [round, ill] of [
    Buffer.from([8, 2]),
    Buffer.alloc(0),
    Buffer.from([8, 1, 8, 2]),
    status.NOT_FOUND,
    status.UNIMPLEMENTED,
  ].entries()) {
    health = ill;
    while (lines('replica unhealthy') <= round) await new Promise((resolve) => setTimeout(resolve, 5));
    for (let at = 0; at < 3; at++) assert.equal(String((await callUnary(client, 'x')).value), 'well', String(ill));
    health = Buffer.from([8, 1]);
    while (lines('replica healthy') <= round) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(new Set(asked), new Set(['\n\x0bacme.Orders']));
});

test('a server whose calls end as unavailable is left out; what a service itself refuses is no fault of the replica', async () => {
  await using lab = new ProxyLab();
  let code: status = status.NOT_FOUND;
  let calls = 0;
  const check = answers('');
  const sick = await serve(lab, {
    unary(_call, callback) {
      calls += 1;
      callback({ code });
    },
    check,
  });
  const well = await serve(lab, { unary: answers('well'), check });
  const client = await openCaller(lab, [sick, well], { ejection: { failures: 2, baseMs: 60_000, maximumPercent: 50 } });
  for (let at = 0; at < 10; at++) await callUnary(client, 'x');
  assert.equal(calls, 5);
  code = status.UNAVAILABLE;
  for (let at = 0; at < 10; at++) await callUnary(client, 'x');
  assert.equal(calls, 7);
});

test('a stream that the server refused unseen is opened again within the budget, and not beyond it', async () => {
  await using lab = new ProxyLab();
  let refusals = 0;
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream) => {
    refusals += 1;
    // REFUSED_STREAM
    stream.on('error', () => {}).close(7);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = await openCaller(lab, [port], { retries: { percent: 0, minimumPerSecond: 1 } });
  await callUnary(client, 'x');
  const events = Object.fromEntries((lab.proxy.takeReport().replicas ?? []).map(({ event, count }) => [event, Number(count)]));
  assert.equal(events['retry'], 1);
  assert.ok(events['retry-denied']! >= 1);
  assert.ok(refusals >= 2);
});
