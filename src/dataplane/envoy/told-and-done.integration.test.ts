import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import {
  CallerRuleSchema,
  CallRateSchema,
  type Inbound,
  Mode,
  Origination,
  Protocol,
  SocketAddressSchema,
  Termination,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { openEnvoyBeside, until } from '../../../test/support/companion-lab.ts';
import { withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { callUnary, echo, grpcClient, grpcService } from '../../../test/support/grpc-lab.ts';
import { callInClear, chainPemOf, clientOptions, inboundTo, keyPemOf, loopback, outboundTo } from '../../../test/support/proxy-lab.ts';
import { countLines, openLines } from '../../../test/support/report-lines.ts';
import { TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';

const CALLER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/storefront`);
const PATH = 'path_01j00000000000000000000000';

type Beside = Awaited<ReturnType<typeof openEnvoyBeside>>;

function endpoint(number: number): string {
  return `endpoint_01j0000000000000000000001${number}`;
}

function inbound(number: number, at: { readonly port: number; readonly service: number }, more: Partial<Inbound> = {}): Inbound {
  const mode = more.anonymousMode === Mode.PERMISSIVE ? 'permissive' : 'enforce';
  const callers = [create(CallerRuleSchema, { pathId: PATH, spiffeId: CALLER, mode: mode === 'enforce' ? Mode.ENFORCE : Mode.PERMISSIVE })];
  const made = inboundTo(at.service, mode, { callers, endpointId: endpoint(number), endpointName: `e${number}` });
  return Object.assign(made, { listen: create(SocketAddressSchema, loopback(at.port)) }, more);
}

/** A caller that proves itself. */
function dialer(beside: Beside): (port: number, text: string) => TLSSocket {
  const options = clientOptions(beside.control.enrol(CALLER, beside.proxyId));
  return (port, text) => {
    const socket = connectTls({ ...options, port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('error', () => {});
    socket.write(text);
    return socket;
  };
}

function anonymous(port: number, servername = ''): TLSSocket {
  return connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...(servername === '' ? {} : { servername }) }).on(
    'error',
    () => {},
  );
}

function call(path: string, more = 'connection: close\r\n'): string {
  return `GET ${path} HTTP/1.1\r\nhost: orders\r\n${more}\r\n`;
}

function closed(socket: Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => (socket.destroyed ? resolve() : socket.on('close', () => resolve())));
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Waits until all of this was reported of the endpoint, and then that nothing else was. */
async function assertCounts(beside: Beside, number: number, expected: Readonly<Record<string, number>>): Promise<void> {
  const { reports } = beside.control;
  const found = () => countLines(reports, endpoint(number));
  await until(JSON.stringify(expected), () =>
    Object.keys(expected).every((line) => found()[line] === expected[line]) ? true : null,
  ).catch(() => {});
  await beside.reportedUntil(Date.now());
  assert.deepEqual(found(), Object.fromEntries(Object.entries(expected).toSorted()));
}

function untilOpen(beside: Beside, number: number, expected: readonly string[]): Promise<unknown> {
  return until(`open: ${expected.join()}`, () => {
    const last = beside.control.reports.at(-1);
    return last !== undefined && JSON.stringify(openLines(last, endpoint(number))) === JSON.stringify(expected) ? true : null;
  });
}

/** A service of raw TCP that gives back what it gets. */
function echoServer(): { readonly server: Server; readonly seen: { connections: number } } {
  const seen = { connections: 0 };
  const server = createServer((socket) => {
    seen.connections += 1;
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  return { server, seen };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === '/silence') return;
  if (request.url === '/reset') request.socket.destroy();
  else if (request.url === '/cut') response.write('x', () => response.destroy());
  else if (request.url === '/endless') response.write('x');
  else request.resume().on('end', () => response.writeHead(request.url === '/500' ? 500 : 200).end());
}

describe('what the companion of an Envoy tells of what was done', { skip: withoutEnvoy }, () => {
  test('of calls: each once, by what became of it; who changed its mind is no call', async () => {
    await using beside = await openEnvoyBeside();
    const service = createHttpServer(answer);
    const [at, dead, port, unserved, limited] = [
      await portOf(service),
      ...(await Promise.all([1, 2, 3, 4].map(() => freePort()))),
    ] as const;
    const limits = { maximumBodyOctets: 1_000n, endpointRate: create(CallRateSchema, { perSecond: 1, burst: 4 }) };
    beside.startEnvoy();
    const applied = await beside.apply(1n, {
      inbound: [
        inbound(0, { port: port!, service: at }, { maximumConnections: 1 }),
        inbound(1, { port: unserved!, service: dead! }),
        inbound(2, { port: limited!, service: at }, limits),
      ],
    });
    assert.equal(applied.refusal, undefined);
    const dial = dialer(beside);
    for (const path of ['/', '/500', '/cut', '/reset']) await closed(dial(port!, call(path)));
    const waited = once(service, 'request');
    const leaver = dial(port!, call('/silence'));
    await waited;
    leaver.destroy();
    await assertCounts(beside, 0, {
      'RECEIVER storefront MTLS CONNECTION ACCEPTED': 5,
      'RECEIVER storefront MTLS CALL ACCEPTED': 2,
      'RECEIVER storefront MTLS CALL FAILED upstream-broken': 2,
    });
    const reader = dial(port!, call('/endless'));
    await once(reader, 'data');
    // The only connection that it may have.
    await closed(dial(port!, call('/')));
    reader.destroy();
    await closed(dial(port!, 'HELLO\r\n\r\n'));
    await assertCounts(beside, 0, {
      'RECEIVER storefront MTLS CONNECTION ACCEPTED': 7,
      'RECEIVER storefront MTLS CALL ACCEPTED': 3,
      'RECEIVER storefront MTLS CALL FAILED upstream-broken': 2,
      'RECEIVER storefront MTLS CALL REFUSED request-malformed': 1,
      'RECEIVER TLS CONNECTION REFUSED limit-exceeded': 1,
    });
    await closed(dial(unserved!, call('/')));
    await assertCounts(beside, 1, {
      'RECEIVER storefront MTLS CONNECTION ACCEPTED': 1,
      'RECEIVER storefront MTLS CALL FAILED upstream-unreachable': 1,
    });
    const body = `POST / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\ncontent-length: 2000\r\n\r\n${'x'.repeat(2_000)}`;
    await closed(dial(limited!, body));
    await Promise.all(Array.from({ length: 12 }, () => closed(dial(limited!, call('/')))));
    await beside.reportedUntil(Date.now());
    const told = countLines(beside.control.reports, endpoint(2));
    assert.equal(told['RECEIVER storefront MTLS CALL REFUSED body-too-large'], 1);
    assert.equal(told['RECEIVER storefront MTLS CONNECTION ACCEPTED'], 13);
    const refused = told['RECEIVER storefront MTLS CALL REFUSED limit-exceeded']!;
    assert.ok(refused >= 5, JSON.stringify(told));
    assert.equal(refused + told['RECEIVER storefront MTLS CALL ACCEPTED']!, 12);
    service.close();
    service.closeAllConnections();
  });

  test('of raw TCP: each connection once, and none of our own; the service meets nobody who was refused', async () => {
    await using beside = await openEnvoyBeside();
    const { server, seen } = echoServer();
    const at = await portOf(server);
    const [dead, port, unserved, open, out, nowhere] = (await Promise.all([1, 2, 3, 4, 5, 6].map(() => freePort()))) as [
      number,
      ...number[],
    ];
    const tcp = { protocol: Protocol.TCP };
    beside.startEnvoy();
    const applied = await beside.apply(1n, {
      inbound: [
        inbound(0, { port: port!, service: at }, { ...tcp, maximumConnections: 1 }),
        inbound(1, { port: unserved!, service: dead }, tcp),
        inbound(2, { port: open!, service: at }, { ...tcp, anonymousMode: Mode.PERMISSIVE }),
      ],
      outbound: [
        outboundTo([at], Origination.PLAINTEXT, { ...tcp, endpointId: endpoint(3), listen: loopback(out!) }),
        outboundTo([dead], Origination.PLAINTEXT, { ...tcp, endpointId: endpoint(4), listen: loopback(nowhere!) }),
      ],
    });
    assert.equal(applied.refusal, undefined);
    const dial = dialer(beside);
    const stream = dial(port!, 'x');
    await once(stream, 'data');
    await untilOpen(beside, 0, ['RECEIVER storefront MTLS 1']);
    await closed(dial(port!, 'one too many'));
    stream.destroy();
    await untilOpen(beside, 0, []);
    assert.equal(await callInClear(port!), '');
    await closed(anonymous(port!));
    await assertCounts(beside, 0, {
      'RECEIVER storefront MTLS CONNECTION ACCEPTED': 1,
      'RECEIVER TLS CONNECTION REFUSED limit-exceeded': 1,
      'RECEIVER PLAINTEXT CONNECTION REFUSED plaintext': 1,
      'RECEIVER TLS CONNECTION REFUSED no-certificate': 1,
    });
    assert.equal(seen.connections, 1);
    await closed(dial(unserved!, 'x'));
    await assertCounts(beside, 1, {
      'RECEIVER storefront MTLS CONNECTION ACCEPTED': 1,
      'RECEIVER storefront MTLS CONNECTION FAILED upstream-unreachable': 1,
    });
    const [known, unknown] = [dial(open!, 'x'), connect(open!, '127.0.0.1', () => unknown.write('x'))];
    await Promise.all([once(known, 'data'), once(unknown, 'data')]);
    await untilOpen(beside, 2, ['RECEIVER PLAINTEXT 1', 'RECEIVER storefront MTLS 1']);
    for (const socket of [known, unknown]) socket.destroy();
    await assertCounts(beside, 2, {
      'RECEIVER storefront MTLS CONNECTION ACCEPTED': 1,
      'RECEIVER PLAINTEXT CONNECTION WOULD_REFUSE plaintext': 1,
    });
    const outward = connect(out!, '127.0.0.1', () => outward.write('x'));
    await once(outward, 'data');
    await assertCounts(beside, 3, { 'CALLER orders PLAINTEXT CONNECTION ACCEPTED': 1 });
    outward.destroy();
    await closed(connect(nowhere!, '127.0.0.1').on('error', () => {}));
    await assertCounts(beside, 4, { 'CALLER orders PLAINTEXT CONNECTION FAILED upstream-unreachable': 1 });
    await assertCounts(beside, 3, { 'CALLER orders PLAINTEXT CONNECTION ACCEPTED': 1 });
    server.close();
  });

  test('of what passes through: that it was carried, while it is, and why it was not', async () => {
    await using beside = await openEnvoyBeside();
    const served = beside.control.authority.issue({ uris: [CALLER] });
    const server = createTlsServer(
      { cert: chainPemOf(served), key: keyPemOf(served) },
      (socket) => void socket.on('error', () => {}).pipe(socket),
    );
    const at = await portOf(server);
    const [dead, port] = [await freePort(), await freePort()];
    const carried = (number: number, service: number, serverNames: string[], more: Partial<Inbound> = {}): Inbound => {
      const { callers: _, tls: __, ...plain } = inbound(number, { port, service }, { protocol: Protocol.TCP });
      return Object.assign(inboundTo(service, 'enforce'), plain, {
        termination: Termination.PASSTHROUGH,
        serverNames,
        callers: [],
        ...more,
      });
    };
    beside.startEnvoy();
    const applied = await beside.apply(1n, {
      inbound: [carried(0, at, ['a.test', '*.wide.test'], { maximumConnections: 1 }), carried(1, dead, ['dead.test'])],
    });
    assert.equal(applied.refusal, undefined);
    const stream = anonymous(port, 'a.test');
    stream.write('x');
    await once(stream, 'data');
    await untilOpen(beside, 0, ['RECEIVER PASSTHROUGH 1']);
    await assertCounts(beside, 0, { 'RECEIVER PASSTHROUGH CONNECTION ACCEPTED': 1 });
    await closed(anonymous(port, 'a.test'));
    stream.destroy();
    await untilOpen(beside, 0, []);
    await closed(anonymous(port, 'x.y.wide.test'));
    await closed(anonymous(port, 'unknown.test'));
    await callInClear(port);
    await assertCounts(beside, 0, {
      'RECEIVER PASSTHROUGH CONNECTION ACCEPTED': 1,
      'RECEIVER PASSTHROUGH CONNECTION REFUSED limit-exceeded': 1,
      'RECEIVER PASSTHROUGH CONNECTION REFUSED unknown-server-name': 2,
      'RECEIVER PASSTHROUGH CONNECTION REFUSED plaintext': 1,
    });
    await closed(anonymous(port, 'dead.test'));
    await assertCounts(beside, 1, {
      'RECEIVER PASSTHROUGH CONNECTION ACCEPTED': 1,
      'RECEIVER PASSTHROUGH CONNECTION FAILED upstream-unreachable': 1,
    });
    server.close();
  });

  test('of long ones: a WebSocket while it is open and not again when it ends, a stream of gRPC when it ends, one that was given up never', async () => {
    await using beside = await openEnvoyBeside();
    using closers = new DisposableStack();
    const lab = { onClose: (close: () => void) => void closers.defer(close) };
    const service = createHttpServer(answer).on('upgrade', (_request, far: Socket) => {
      far.on('error', () => {});
      far.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    });
    const heard = Promise.withResolvers<void>();
    const { port: grpc } = await grpcService(lab, { collect: () => heard.resolve() });
    const [at, port, out] = [await portOf(service), await freePort(), await freePort()];
    beside.startEnvoy();
    const applied = await beside.apply(1n, {
      inbound: [inbound(0, { port, service: at })],
      outbound: [outboundTo([grpc], Origination.PLAINTEXT, { protocol: Protocol.GRPC, endpointId: endpoint(1), listen: loopback(out) })],
    });
    assert.equal(applied.refusal, undefined);
    const socket = dialer(beside)(port, call('/ws', 'connection: upgrade\r\nupgrade: websocket\r\n'));
    await once(socket, 'data');
    const client = grpcClient(lab, out);
    const chat = client.makeBidiStreamRequest(echo.chat.path, echo.chat.requestSerialize, echo.chat.responseDeserialize);
    chat.on('error', () => {});
    chat.write(Buffer.from('x'));
    await once(chat, 'data');
    const { requestSerialize, responseDeserialize, path } = echo.collect;
    const given = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, () => {});
    given.on('error', () => {}).write(Buffer.from('x'));
    await heard.promise;
    given.cancel();
    assert.equal((await callUnary(client, 'x')).error, null);
    const whole = { 'RECEIVER storefront MTLS CONNECTION ACCEPTED': 1, 'RECEIVER storefront MTLS CALL ACCEPTED': 1 };
    await assertCounts(beside, 0, whole);
    await assertCounts(beside, 1, { 'CALLER orders PLAINTEXT CALL ACCEPTED': 1 });
    socket.destroy();
    chat.resume().end();
    await once(chat, 'end');
    await assertCounts(beside, 1, { 'CALLER orders PLAINTEXT CALL ACCEPTED': 2 });
    await assertCounts(beside, 0, whole);
    service.close();
    service.closeAllConnections();
  });
});
