import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect as connectTcp, type Server, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import {
  CallCredentials,
  type CallOptions,
  Client,
  credentials,
  Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerDuplexStream,
  status,
} from '@grpc/grpc-js';
import { Origination, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Side, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { REVOKED_SET_TYPE } from '../../core/messages/type-urls.ts';
import { echo } from '../../../test/support/grpc-lab.ts';
import { callInClear, callOverTls, clientOptions } from '../../../test/support/proxy-lab.ts';
import { calls, named, openService, serves } from '../../../test/support/sdk-lab.ts';
import { startTestControlPlane, type TestControlPlane } from '../../../test/support/test-control-plane.ts';
import { identityOf } from './identity-of.ts';

async function openPair(protocol: Protocol, mode: 'permissive' | 'enforce' = 'enforce') {
  const control = await startTestControlPlane();
  const stock = await openService(control, 'stock', { inbound: [serves('stock', mode, { protocol })] });
  const orders = await openService(control, 'orders', {});
  return {
    control,
    stock: stock.countersign,
    orders: orders.countersign,
    setRoutes: (path: string) =>
      stock.setPorts({ inbound: [serves('stock', mode, { protocol, routes: [{ path, callerSpiffeIds: [named('reports')] }] })] }),
    setMode: (next: 'permissive' | 'enforce') => stock.setPorts({ inbound: [serves('stock', next, { protocol, drainMs: 50 })] }),
    /** Listens, and tells the caller where. */
    async serve(server: Server, more: Parameters<typeof calls>[2] = {}): Promise<number> {
      if (!server.listening) {
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
      }
      const { port } = server.address() as AddressInfo;
      await orders.setPorts({ outbound: [calls('stock', [port], { protocol, ...more })] });
      return port;
    },
    stranger: () => clientOptions(control.enrol(named('reports'), orders.proxyId)),
    async [Symbol.asyncDispose]() {
      await orders[Symbol.asyncDispose]();
      await stock[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
    },
  };
}

async function suspend(control: TestControlPlane, name: string): Promise<void> {
  const count = () => control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length;
  const before = count();
  control.revoked.suspendedSpiffeIds.push(named(name));
  await control.revokedChanged();
  // The suspended one itself is sent away.
  await control.acknowledgement(REVOKED_SET_TYPE, () => count() > before);
}

async function getOver(session: ClientHttp2Session, path = '/'): Promise<{ readonly status: number; readonly body: string }> {
  const stream = session.request({ ':path': path });
  const [headers] = (await once(stream, 'response')) as [{ readonly ':status': number }];
  return { status: headers[':status'], body: await text(stream) };
}

test('HTTP/2 between two services: each stream is judged, its caller known', async () => {
  await using pair = await openPair(Protocol.GRPC);
  const seen: string[] = [];
  const server = pair.stock.createHttp2Server({ endpoint: 'stock' });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    seen.push(headers[':path']!);
    stream.respond({ ':status': 200 });
    stream.end(identityOf(stream).spiffeId);
  });
  const port = await pair.serve(server);
  const session = await pair.orders.connectHttp2('stock');
  after(() => session.destroy());
  assert.deepEqual(await getOver(session), { status: 200, body: named('orders') });
  await pair.control.report(({ counts }) => counts.some(isCall));
  assert.equal((await callOverTls(port, { ...pair.stranger(), ALPNProtocols: ['h2'] })).text, '');
  assert.equal(await callInClear(port), '');
  assert.deepEqual(seen, ['/']);
});

test('a stream whose route names another caller reaches no listener, and its connection goes on', async () => {
  await using pair = await openPair(Protocol.GRPC);
  const seen: string[] = [];
  const server = pair.stock.createHttp2Server({ endpoint: 'stock' });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    seen.push(headers[':path']!);
    stream.respond({ ':status': 200 });
    stream.end('x');
  });
  await pair.serve(server);
  await pair.setRoutes('/admin/**');
  const session = await pair.orders.connectHttp2('stock');
  after(() => session.destroy());
  for (const path of ['/admin', '/%61dmin/x', '/ADMIN', '//admin']) assert.equal((await getOver(session, path)).status, 403, path);
  assert.equal((await getOver(session, '/open')).status, 200);
  assert.deepEqual(seen, ['/open']);
});

test('a stream of an HTTP/2 session whose mode rose, or whose identity was suspended, reaches no listener', async () => {
  await using pair = await openPair(Protocol.GRPC, 'permissive');
  const seen: string[] = [];
  const server = pair.stock.createHttp2Server({ endpoint: 'stock' });
  server.on('session', (session) => session.on('stream', (_stream, headers) => seen.push(`session ${headers[':path']}`)));
  server.on('request', (request, response) => {
    seen.push(`request ${request.url}`);
    response.end(identityOf(request).channel);
  });
  const port = await pair.serve(server);
  const plain = connectHttp2(`http://127.0.0.1:${port}`);
  plain.on('error', () => {});
  assert.equal((await getOver(plain, '/plain')).body, 'plaintext');
  const secure = connectTls({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    ...clientOptions(pair.control.enrol(named('orders'), 'proxy_01j00000000000000000000000' as never)),
  });
  await once(secure, 'secureConnect');
  const session = connectHttp2('http://stock', { createConnection: () => secure });
  session.on('error', () => {});
  assert.equal((await getOver(session, '/mtls')).body, 'mtls');
  await suspend(pair.control, 'orders');
  await pair.setMode('enforce');
  for (const open of [plain, session]) {
    const outcome =
      open.destroyed || open.closed
        ? 'closed'
        : await getOver(open, '/late').then(
            ({ status: code }) => code,
            () => 'closed',
          );
    assert.notEqual(outcome, 200);
    open.destroy();
  }
  assert.deepEqual(seen.toSorted(), ['request /mtls', 'request /plain', 'session /mtls', 'session /plain']);
});

const isCall = (found: { side: Side; unit: Unit; outcome: Outcome }): boolean =>
  found.side === Side.RECEIVER && found.unit === Unit.CALL && found.outcome === Outcome.ACCEPTED;

type Call = ServerUnaryCall<Buffer, Buffer>;
type Answer = sendUnaryData<Buffer>;

/** A gRPC server that says who called, and a client of the other service. */
async function openGrpc(pair: Awaited<ReturnType<typeof openPair>>) {
  const seen: (string | null)[] = [];
  const tokens: unknown[] = [];
  const { server, listener } = pair.stock.createGrpcServer({ endpoint: 'stock' });
  server.addService(echo, {
    unary(call: Call, answer: Answer) {
      seen.push(identityOf(call).spiffeId);
      tokens.push(...call.metadata.get('authorization'));
      answer(null, call.request);
    },
    collect() {},
    repeat() {},
    chat(call: ServerDuplexStream<Buffer, Buffer>) {
      seen.push(identityOf(call).spiffeId);
      call.on('data', (part: Buffer) => void call.write(part));
      call.on('end', () => call.end());
    },
  } as never);
  const port = await pair.serve(listener);
  const { target, credentials: verified, options } = pair.orders.grpcChannel('stock');
  const client = new Client(target, verified, options);
  after(() => {
    client.close();
    server.forceShutdown();
  });
  return { seen, tokens, port, client, listener, unary: (message = 'x', options: CallOptions = {}) => unary(client, message, options) };
}

function unary(client: Client, message: string, options: CallOptions = {}): Promise<string> {
  const { unary: method } = echo;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      Buffer.from(message),
      { deadline: Date.now() + 5_000, ...options },
      (error, value) => (error === null ? resolve(String(value)) : reject(error)),
    );
  });
}

test('gRPC between two services: unary and streaming, the caller known to the handler', async () => {
  await using pair = await openPair(Protocol.GRPC);
  const { seen, client, unary: call } = await openGrpc(pair);
  assert.equal(await call('hello'), 'hello');
  const chat = client.makeBidiStreamRequest(echo.chat.path, echo.chat.requestSerialize, echo.chat.responseDeserialize);
  chat.write(Buffer.from('one'));
  const [part] = (await once(chat, 'data')) as [Buffer];
  assert.equal(part.toString(), 'one');
  chat.end();
  await once(chat.resume(), 'status');
  assert.deepEqual(seen, [named('orders'), named('orders')]);
});

test('gRPC calls of a suspended identity, of plaintext and to somebody else fail, and no handler hears of them', async () => {
  await using pair = await openPair(Protocol.GRPC);
  const { seen, port, client, unary: call } = await openGrpc(pair);
  assert.equal(await call(), 'x');
  const plain = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  await assert.rejects(unary(plain, 'x', { deadline: Date.now() + 500 }));
  plain.close();
  await suspend(pair.control, 'orders');
  await assert.rejects(call(), ({ code }: { readonly code: number }) => [status.PERMISSION_DENIED, status.UNAVAILABLE].includes(code));
  client.close();
  assert.deepEqual(seen, [named('orders')]);
});

test('a gRPC call whose route names another caller fails with PERMISSION_DENIED, and no handler hears of it', async () => {
  await using pair = await openPair(Protocol.GRPC);
  const { seen, unary: call } = await openGrpc(pair);
  await pair.setRoutes('/*/Unary');
  await assert.rejects(call(), { code: status.PERMISSION_DENIED });
  await pair.setRoutes('/*/Collect');
  assert.equal(await call(), 'x');
  assert.deepEqual(seen, [named('orders')]);
});

test('a gRPC channel follows the settings, and gives a server that proves another identity no octet', async () => {
  await using pair = await openPair(Protocol.GRPC);
  const { seen, listener, unary: call } = await openGrpc(pair);
  await pair.serve(listener, { serverSpiffeId: named('payments') });
  await assert.rejects(call(), { code: status.UNAVAILABLE });
  assert.deepEqual(seen, []);
  await pair.serve(listener);
  for (let tries = 0; tries < 40; tries++) {
    const answer = await call().catch(() => null);
    if (answer !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.deepEqual(seen, [named('orders')]);
});

test('gRPC call credentials are neither fetched nor sent while the path is in plaintext, other calls go on', async () => {
  await using pair = await openPair(Protocol.GRPC, 'permissive');
  const { seen, tokens, listener, unary: call } = await openGrpc(pair);
  let fetched = 0;
  const token = CallCredentials.createFromMetadataGenerator((_options, callback) => {
    fetched += 1;
    const metadata = new Metadata();
    metadata.set('authorization', 'Bearer secret');
    callback(null, metadata);
  });
  const { target, credentials: verified, options } = pair.orders.grpcChannel('stock');
  const composed = new Client(target, credentials.combineChannelCredentials(verified, token), options);
  after(() => composed.close());
  const both = [() => call('x', { credentials: token }), () => unary(composed, 'x')] as const;
  for (const attempt of both) await attempt();
  assert.deepEqual([fetched, tokens], [2, ['Bearer secret', 'Bearer secret']]);
  await pair.serve(listener, { origination: Origination.PLAINTEXT, drainMs: 0 });
  // The calls above are over their old connections until these end.
  while (seen.at(-1) !== null) await call().catch(() => null);
  for (const attempt of both) await assert.rejects(attempt(), /plaintext/);
  assert.equal(await call(), 'x');
  assert.deepEqual([fetched, tokens.length], [2, 2]);
});

test('gRPC calls of two connections from one address and port to two addresses are each of their own caller', async () => {
  await using pair = await openPair(Protocol.GRPC, 'permissive');
  const { server, listener } = pair.stock.createGrpcServer({ endpoint: 'stock' });
  const seen: (string | null)[] = [];
  server.addService(echo, {
    unary: (request: Call, answer: Answer) => (seen.push(identityOf(request).spiffeId), answer(null, request.request)),
  } as never);
  listener.listen(0, '0.0.0.0');
  await once(listener, 'listening');
  after(() => server.forceShutdown());
  const port = await pair.serve(listener);
  const plain = connectTcp({ host: '127.0.0.2', port, localAddress: '127.0.0.1' });
  await once(plain, 'connect');
  const first = connectHttp2('http://stock', { createConnection: () => plain });
  await callEcho(first);
  const raw = connectTcp({ host: '127.0.0.1', port, localAddress: '127.0.0.1', localPort: plain.localPort! });
  const certificate = clientOptions(pair.control.enrol(named('orders'), 'proxy_01j00000000000000000000000' as never));
  const secure = connectTls({ socket: raw, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...certificate });
  await once(secure, 'secureConnect');
  const second = connectHttp2('http://stock', { createConnection: () => secure });
  await callEcho(second);
  await callEcho(first);
  for (const session of [first, second]) session.destroy();
  assert.deepEqual(seen, [null, named('orders'), null]);
});

async function callEcho(session: ClientHttp2Session): Promise<void> {
  const stream = session.request({ ':method': 'POST', ':path': echo.unary.path, 'content-type': 'application/grpc', te: 'trailers' });
  stream.end(Buffer.from([0, 0, 0, 0, 1, 0x78]));
  await once(stream.resume(), 'close');
}

test('a protocol of its own: connections are admitted and known, strangers and plaintext get nothing', async () => {
  await using pair = await openPair(Protocol.TCP);
  const seen: (string | null)[] = [];
  const server = pair.stock.createTcpServer({ endpoint: 'stock' }, (socket: Socket) => {
    seen.push(identityOf(socket).spiffeId);
    socket.on('data', (chunk: Buffer) => socket.write(`echo ${chunk.toString()}`)).on('end', () => socket.end());
  });
  const port = await pair.serve(server);
  const socket = await pair.orders.connect('stock');
  socket.write('hello');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'echo hello');
  assert.equal((await callOverTls(port, pair.stranger())).text, '');
  assert.equal((await callOverTls(port, {})).text, '');
  assert.equal(await callInClear(port), '');
  const closed = once(socket, 'end');
  await suspend(pair.control, 'orders');
  await closed;
  assert.deepEqual(seen, [named('orders')]);
});

test('each kind of server takes endpoints of its own protocol only', async () => {
  await using pair = await openPair(Protocol.TCP);
  for (const attempt of [
    () => pair.stock.createServer({ endpoint: 'stock' }),
    () => pair.stock.createHttp2Server({ endpoint: 'stock' }),
    () => pair.stock.createGrpcServer({ endpoint: 'stock' }),
  ]) {
    assert.throws(attempt, { code: 'state-conflict' });
  }
  for (const attempt of [
    () => pair.orders.grpcChannel('nobody'),
    () => pair.orders.pgOptions('nobody'),
    () => pair.orders.redisOptions('nobody'),
  ]) {
    assert.throws(attempt, { code: 'not-found' });
  }
});
