import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, stat } from 'node:fs/promises';
import { Agent, createServer, type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { callInClear, inboundTo, Origin, ProxyLab, tcpOrigin } from '../../../test/support/proxy-lab.ts';
import { Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';

async function openLab(answer?: ConstructorParameters<typeof Origin>[0]): Promise<{ lab: ProxyLab; origin: Origin; port: number }> {
  const lab = new ProxyLab();
  const origin = await lab.origin(answer);
  await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  return { lab, origin, port: lab.portOf(0) };
}

type Answer = {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly trailers: IncomingMessage['trailers'];
};

function call(port: number, options: RequestOptions = {}, body: string | Buffer = ''): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = httpRequest({ host: '127.0.0.1', port, agent: false, ...options }, (response) => {
    let text = '';
    response.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
    response.on('error', reject);
    response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text, trailers: response.trailers }));
  });
  request.on('error', reject);
  request.end(body);
  return promise;
}

test('a call keeps its method, target, host, end-to-end fields and body', async () => {
  const seen: { body: string; headers: IncomingMessage['headers'] }[] = [];
  const { lab, origin, port } = await openLab((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      seen.push({ body, headers: request.headers });
      response.setHeader('X-Answer', ['a', 'b']).end('done');
    });
  });
  await using _ = lab;
  const headers = {
    Host: 'orders.internal:8080',
    'X-Call': '1',
    Connection: 'X-Hop',
    'X-Hop': 'no',
    TE: 'trailers',
    Authorization: 'Bearer t',
  };
  const answer = await call(port, { method: 'PATCH', path: '/a%2Fb?c=d', headers }, 'body');
  assert.equal(answer.body, 'done');
  assert.equal(answer.headers['x-answer'], 'a, b');
  assert.deepEqual([origin.requests[0]!.method, origin.requests[0]!.url], ['PATCH', '/a%2Fb?c=d']);
  assert.equal(seen[0]!.body, 'body');
  const { host, authorization, 'x-call': xCall, 'x-hop': hop, te } = seen[0]!.headers as Record<string, string>;
  assert.deepEqual([host, authorization, xCall, hop, te], ['orders.internal:8080', 'Bearer t', '1', undefined, undefined]);
});

test('a large body streams through in both directions, chunked and with a length', async () => {
  const { lab, port } = await openLab((request, response) => void request.pipe(response));
  await using _ = lab;
  const body = Buffer.alloc(5_000_000, 'x');
  for (const headers of [{ 'Transfer-Encoding': 'chunked' }, { 'Content-Length': body.length }]) {
    assert.equal((await call(port, { method: 'POST', headers }, body)).body.length, body.length);
  }
});

test('a slow reader slows the service down instead of filling the proxy', async () => {
  const sent = { octets: 0 };
  const { lab, port } = await openLab((_request, response) => {
    const chunk = Buffer.alloc(65_536);
    const fill = (): void => {
      let hasRoom = true;
      while (hasRoom && sent.octets < 200_000_000) {
        sent.octets += chunk.length;
        hasRoom = response.write(chunk);
      }
      response.once('drain', fill);
    };
    fill();
  });
  await using _ = lab;
  const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  socket.pause();
  let before = -1;
  // The service has stopped writing when a while goes by without an octet more.
  while (sent.octets !== before || sent.octets === 0) {
    before = sent.octets;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  socket.destroy();
  assert.ok(sent.octets < 100_000_000, `the service wrote ${sent.octets} octets`);
});

test('trailers of an answer arrive', async () => {
  const { lab, port } = await openLab((_request, response) => {
    response.writeHead(200, { Trailer: 'X-Checksum' });
    response.write('a');
    response.addTrailers({ 'X-Checksum': '42' });
    response.end();
  });
  await using _ = lab;
  assert.deepEqual({ ...(await call(port)).trailers }, { 'x-checksum': '42' });
});

test('HEAD, 204 and 304 have no body and keep the connection usable', async () => {
  const { lab, port } = await openLab((request, response) => {
    response.writeHead(request.url === '/204' ? 204 : request.url === '/304' ? 304 : 200, { ETag: '"1"' }).end();
  });
  await using _ = lab;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  lab.onClose(() => agent.destroy());
  for (const [method, path, status] of [
    ['HEAD', '/', 200],
    ['GET', '/204', 204],
    ['GET', '/304', 304],
    ['GET', '/', 200],
  ] as const) {
    assert.equal((await call(port, { agent, method, path })).status, status);
  }
});

test('Expect: 100-continue is answered by the proxy', async () => {
  const { lab, port } = await openLab((request, response) => void request.resume().on('end', () => response.end('ok')));
  await using _ = lab;
  const text = await callInClear(
    port,
    'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx',
  );
  assert.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
});

test('a WebSocket passes, and octets pass unread only after the 101', async () => {
  const { lab, origin, port } = await openLab();
  await using _ = lab;
  origin.server.on('upgrade', (request, socket) => {
    if (request.url === '/no') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      return;
    }
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Cert: a\r\n\r\n');
    socket.pipe(socket);
  });
  const upgrade = 'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-Client-Cert: forged\r\n\r\n';
  const socket = connect(port, '127.0.0.1', () => socket.write(`GET /ws HTTP/1.1\r\n${upgrade}`));
  const [head] = (await once(socket, 'data')) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 101 /);
  socket.write('frame');
  assert.equal(String((await once(socket, 'data'))[0]), 'frame');
  socket.destroy();
  const smuggled = await callInClear(
    port,
    `GET /no HTTP/1.1\r\n${upgrade}GET /second HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: forged\r\n\r\n`,
  );
  assert.match(smuggled, /^HTTP\/1\.1 403 Forbidden\r\n/);
  assert.equal(origin.requests.length, 0);
});

for (const [name, request, status] of [
  ['a length beside chunks', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['an odd transfer coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 400],
  ['a bare line feed in a field', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\n\r\n', 400],
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n', 400],
  ['a target that is no path', 'GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a head that is too large', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`, 431],
] as const) {
  test(`${name}: refused, and the service sees nothing of it`, async () => {
    const { lab, origin, port } = await openLab();
    await using _ = lab;
    assert.match(await callInClear(port, request), new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.equal(origin.octets, 0);
  });
}

test('an answer that breaks off breaks off for the caller too', async () => {
  const { lab, port } = await openLab((_request, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('half', () => response.socket!.destroy());
  });
  await using _ = lab;
  await assert.rejects(call(port), { code: 'ECONNRESET' });
  const failed = lab.proxy.takeReport().counts!.filter(({ unit }) => unit === Unit.CALL);
  assert.deepEqual(
    failed.map(({ outcome, reason }) => [outcome, reason]),
    [[Outcome.FAILED, 'upstream-broken']],
  );
});

test('a caller that leaves ends the call at the service', async () => {
  const left = Promise.withResolvers<void>();
  const { lab, port } = await openLab((_request, response) => void response.on('close', () => left.resolve()).write('a'));
  await using _ = lab;
  const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  socket.on('data', () => socket.destroy());
  await left.promise;
});

test('a service that is away is answered for with 503', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const gone = await lab.origin();
  const { port } = gone;
  gone.close();
  await lab.apply({ inbound: [inboundTo(port, 'observe')] });
  assert.equal((await call(lab.portOf(0), { method: 'POST' }, 'x')).status, 503);
});

test('a service that restarts loses no call that waits for it', async () => {
  const { lab, origin, port } = await openLab();
  await using _ = lab;
  assert.equal((await call(port)).status, 200);
  const { port: originPort } = origin;
  origin.close();
  const waiting = [call(port), call(port, { method: 'POST' }, 'x')];
  const again = new Origin((_request, response) => void response.end('again'));
  lab.onClose(() => again.close());
  setTimeout(() => void again.listen(originPort), 150);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ status }) => status),
    [200, 200],
  );
});

test('raw TCP passes both ways, each direction ending for itself', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await tcpOrigin(lab, (socket) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => socket.end(`heard ${text}`));
  });
  await lab.apply({ inbound: [inboundTo(port, 'observe', { protocol: Protocol.TCP })] });
  const socket = connect(lab.portOf(0), '127.0.0.1', () => socket.end('all of it'));
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(socket, 'close');
  assert.equal(text, 'heard all of it');
});

test('a protocol in which the server speaks first works while nobody is refused', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await tcpOrigin(lab, (socket) => socket.write('hello'));
  await lab.apply({ inbound: [inboundTo(port, 'permissive', { protocol: Protocol.TCP })] });
  const socket = connect(lab.portOf(0), '127.0.0.1');
  assert.equal(String((await once(socket, 'data'))[0]), 'hello');
  socket.destroy();
});

test('both hops can be Unix sockets; ours is open to nobody else, and one left over from a crash is replaced', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const folder = await mkdtemp(join(tmpdir(), 'countersign-sockets-'));
  const [listen, upstream] = [join(folder, 'proxy.sock'), join(folder, 'orders.sock')];
  const origin = createServer((_request, response) => void response.end('ok'));
  await new Promise<void>((resolve) => origin.listen(upstream, resolve));
  lab.onClose(() => origin.close());
  await leaveSocketBehind(listen);
  const settings = inboundTo(0, 'observe', { listen: unix(listen), upstream: unix(upstream) });
  assert.deepEqual(await lab.apply({ inbound: [settings] }), { kind: 'accepted' });
  assert.equal((await stat(listen)).mode & 0o777, 0o600);
  assert.equal((await call(0, { socketPath: listen })).body, 'ok');
  const other = new ProxyLab();
  await using __ = other;
  const answer = await other.apply({ inbound: [settings] });
  assert.equal(answer.kind, 'refused', 'a socket that somebody answers at is not taken');
  assert.equal((await call(0, { socketPath: listen })).body, 'ok');
});

function unix(path: string) {
  return { address: { case: 'unixPath' as const, value: path } };
}

/** What a process that was killed leaves: the file of a socket at which nobody answers. */
async function leaveSocketBehind(path: string): Promise<void> {
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', program]), 'exit');
}
