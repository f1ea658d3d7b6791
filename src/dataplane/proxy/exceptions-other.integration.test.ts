import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, test } from 'node:test';
import { Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { makeDrillRequest } from '../scanner/drill-request.ts';
import { countsOf, exceptedPort, get, last, MovedClock, openExceptionLab, urls, type Wire } from '../../../test/support/exception-lab.ts';
import { callUnary, GRPC, grpcClient, grpcService } from '../../../test/support/grpc-lab.ts';
import { callInClear, callOverTls, clientOptions, ORDERS, ProxyLab, STRANGER, tcpOrigin } from '../../../test/support/proxy-lab.ts';

async function call(session: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<number | string> {
  const stream = session.request({ ':authority': 'orders', ...headers });
  const ended = Promise.withResolvers<number | string>();
  stream.on('response', ({ ':status': status }) => ended.resolve(status!));
  stream.on('error', () => {});
  stream.on('close', () => ended.resolve('reset'));
  stream.resume();
  return ended.promise;
}

function openSession(lab: ProxyLab, port: number): ClientHttp2Session {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  return session;
}

describe('over HTTP/2', () => {
  test('each stream is judged by itself, and one that is refused ends the connection', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    const session = openSession(lab, port);
    assert.deepEqual([await call(session, { ':path': '/healthz' }), await call(session, { ':path': '/metrics' })], [200, 200]);
    const closed = once(session, 'close');
    assert.equal(await call(session, { ':path': '/orders' }), 'reset');
    await closed;
    assert.deepEqual(urls(origin), ['/healthz', '/metrics']);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['no-certificate'],
    );
  });

  for (const [name, headers] of [
    ['another method', { ':path': '/healthz', ':method': 'POST' }],
    ['an escaped letter', { ':path': '/%68ealthz' }],
    ['a double slash', { ':path': '//healthz' }],
    [
      'a WebSocket',
      { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/healthz', ':scheme': 'https', 'sec-websocket-version': '13' },
    ],
    ['a method in a field of its own', { ':path': '/healthz', 'x-method-override': 'DELETE' }],
  ] as const) {
    test(`${name} is reset, and the service sees nothing`, async () => {
      const { lab, origin, port } = await openExceptionLab();
      await using _ = lab;
      const session = openSession(lab, port);
      // The extended CONNECT may be used once the server has said so.
      await once(session, 'remoteSettings');
      assert.equal(await call(session, headers), 'reset');
      assert.equal(origin.octets, 0);
      assert.equal(lab.refusals().length, 1);
    });
  }

  test('a drill hears nothing of its call', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    const request = makeDrillRequest('h2', 'orders');
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => void (request.take(chunk) && socket.end()));
    socket.write(request.octets);
    await once(socket, 'close');
    assert.equal(request.read().octetsAnswered, 0);
    assert.equal(origin.octets, 0);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['no-certificate'],
    );
  });
});

async function openTcp(exceptions: readonly Wire[]) {
  const clock = new MovedClock();
  const lab = new ProxyLab(ORDERS, undefined, clock);
  let octets = 0;
  const echo = await tcpOrigin(lab, (socket) => {
    socket.on('data', (chunk: Buffer) => (octets += chunk.length));
    socket.pipe(socket);
  });
  const inbound = exceptedPort(echo, 'enforce', exceptions, { protocol: Protocol.TCP });
  assert.deepEqual(await lab.apply({ inbound: [inbound] }), { kind: 'accepted' });
  return { lab, echo, clock, port: lab.portOf(0), octets: () => octets };
}

describe('at an endpoint of raw TCP', () => {
  const LEGACY: Wire = { name: 'batch', sources: ['127.0.0.1/32'] };

  test('its sources speak in the clear, with a few octets, and over TLS', async () => {
    const { lab, port } = await openTcp([LEGACY]);
    await using _ = lab;
    const plain = connectTcp(port, '127.0.0.1');
    plain.write('PING');
    assert.equal(String((await once(plain, 'data'))[0]), 'PING');
    plain.destroy();
    const secure = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    secure.write('PING');
    assert.equal(String((await once(secure, 'data'))[0]), 'PING');
    secure.destroy();
    assert.deepEqual(countsOf(lab), [
      ['connection', 'excepted', 'batch', 1],
      ['connection', 'excepted', 'batch', 1],
    ]);
  });

  test('a server that speaks first does so', async () => {
    const { lab, port } = await openTcp([LEGACY]);
    await using _ = lab;
    const greeting = await tcpOrigin(lab, (socket) => socket.end('220 hello'));
    await lab.apply({ inbound: [exceptedPort(greeting, 'enforce', [LEGACY], { protocol: Protocol.TCP })] });
    assert.equal(await callInClear(port, ''), '220 hello');
  });

  test('others are refused, and bad certificates of its sources, too', async () => {
    const { lab, port, octets } = await openTcp([{ ...LEGACY, sources: ['192.0.2.0/24'] }]);
    await using _ = lab;
    assert.equal(await callInClear(port, `${'x'.repeat(64)}`), '');
    await lab.apply({ inbound: [exceptedPort({ port: 1 }, 'enforce', [LEGACY], { protocol: Protocol.TCP })] });
    assert.equal((await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STRANGER] })), 'PING')).text, '');
    assert.equal(octets(), 0);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['plaintext', 'wrong-identity'],
    );
  });

  test('open connections are cut at the end, or with the exception', async () => {
    const { lab, echo, port } = await openTcp([{ ...LEGACY, untilMs: BigInt(Date.now() + 300) }]);
    await using _ = lab;
    const first = connectTcp(port, '127.0.0.1');
    first.on('error', () => {});
    first.write('PING');
    await once(first, 'data');
    await once(first, 'close');
    await lab.apply({ inbound: [exceptedPort(echo, 'enforce', [LEGACY], { protocol: Protocol.TCP })] });
    const second = connectTcp(port, '127.0.0.1');
    second.on('error', () => {});
    second.write('PING');
    await once(second, 'data');
    await lab.apply({ inbound: [exceptedPort(echo, 'enforce', [], { protocol: Protocol.TCP })] });
    await once(second, 'close');
  });
});

test('a health check of gRPC in the clear is let in, and no other method of the same client', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await grpcService(lab);
  const CHECKS: Wire = { name: 'checks', sources: ['127.0.0.1/32'], calls: [{ methods: ['POST'], path: '/acme.Echo/Unary' }] };
  assert.deepEqual(await lab.apply({ inbound: [exceptedPort({ port }, 'enforce', [CHECKS], GRPC)] }), { kind: 'accepted' });
  const client = grpcClient(lab, lab.portOf(0));
  assert.equal(String((await callUnary(client, 'hello')).value), 'hello');
  await lab.apply({
    inbound: [exceptedPort({ port }, 'enforce', [{ ...CHECKS, calls: [{ methods: ['POST'], path: '/acme.Echo/Chat' }] }], GRPC)],
  });
  assert.notEqual((await callUnary(client, 'hello')).error, null);
  assert.deepEqual(
    lab.refusals().map(({ reason }) => reason),
    ['plaintext'],
  );
});

test('whoever is held for its first call counts as one of its address that has begun, until it is let in or gone', async () => {
  const { lab, port } = await openExceptionLab({ inbound: { handshakesPerAddress: 2 } });
  await using _ = lab;
  // More than is collected before it is held.
  const half = connectTcp(port, '127.0.0.1');
  half.write(get('/healthz', `X-Filler: ${'x'.repeat(100)}\r\n`).slice(0, -2));
  const silent = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  lab.onClose(() => [half, silent].forEach((socket) => socket.destroy()));
  await once(
    silent.on('error', () => {}),
    'secureConnect',
  );
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  for (let call = 0; call < 3; call++) assert.equal(await callInClear(port, last('/healthz')), '');
  assert.deepEqual(countsOf(lab), [['connection', 'refused', 'limit-exceeded', 3]]);
  half.write('\r\n');
  assert.match(String((await once(half, 'data'))[0]), /^HTTP\/1\.1 200 /);
  assert.match(await callInClear(port, last('/healthz')), /^HTTP\/1\.1 200 /, 'though the one that was let in stays');
  const third = connectTcp(port, '127.0.0.1');
  lab.onClose(() => third.destroy());
  third.write('GET ');
  while ((await callInClear(port, last('/healthz'))) !== '') await new Promise(setImmediate);
  silent.destroy();
  while ((await callInClear(port, last('/healthz'))) === '') await new Promise(setImmediate);
});

test('what is held when enforcement ends is let in, and its call is not cut for having been held', async () => {
  const { lab, origin, port } = await openExceptionLab();
  await using _ = lab;
  const socket = connectTcp(port, '127.0.0.1');
  lab.onClose(() => socket.destroy());
  const orders = get('/orders', `X-Filler: ${'x'.repeat(100)}\r\n`);
  socket.write(orders.slice(0, -2));
  await once(socket, 'connect');
  // A connection that came later was judged, so this one is held.
  assert.match(await callInClear(port, last('/healthz')), /^HTTP\/1\.1 200 /);
  countsOf(lab);
  await lab.apply({ inbound: [exceptedPort(origin, 'observe', [])] });
  assert.deepEqual(countsOf(lab), [['connection', 'would-refuse', 'plaintext', 1]]);
  socket.write('\r\n');
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 /);
  assert.deepEqual(countsOf(lab), [['call', 'would-refuse', 'plaintext', 1]]);
});
