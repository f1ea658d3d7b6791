import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { Channel, Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { makeFiles } from '../../../test/support/openssl.ts';
import { missing, runProgram } from '../../../test/support/peer-program.ts';
import {
  callOverTls,
  chainPemOf,
  clientOptions,
  inboundTo,
  keyPemOf,
  type Origin,
  ProxyLab,
  STOREFRONT,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';
import { MAXIMUM_TURNS } from './body-turns.ts';

type Lab = { readonly lab: ProxyLab; readonly origin: Origin; readonly session: ClientHttp2Session };

/** A service of HTTP/1.1 behind a proxy in enforce, and a caller of HTTP/2. */
async function openLab(answer?: RequestListener): Promise<Lab> {
  const lab = new ProxyLab();
  const origin = await lab.origin(answer as ConstructorParameters<typeof Origin>[0]);
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  return { lab, origin, session: openSession(lab) };
}

function openSession(lab: ProxyLab): ClientHttp2Session {
  const options = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const session = connect(`https://127.0.0.1:${lab.portOf(0)}`, { rejectUnauthorized: false, maxSessionMemory: 100, ...options });
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  return session;
}

type Answer = {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
  readonly rstCode: number | undefined;
  /** It came to its end. */
  readonly isWhole: boolean;
};

function call(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body: string | Buffer | null = null): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const stream = session.request(headers, { endStream: body === null });
  let answer: Answer = { headers: {}, trailers: {}, body: '', rstCode: 0, isWhole: false };
  stream.on('end', () => (answer = { ...answer, isWhole: true }));
  stream.on('response', (received) => (answer = { ...answer, headers: received }));
  stream.on('trailers', (trailers) => (answer = { ...answer, trailers }));
  stream.on('data', (chunk: Buffer) => (answer = { ...answer, body: answer.body + chunk.toString('latin1') }));
  stream.on('error', () => {});
  stream.on('close', () => resolve({ ...answer, rstCode: stream.rstCode }));
  if (body !== null) stream.end(body);
  return promise;
}

test('a call of HTTP/2 arrives as one of HTTP/1.1, with the identity of its caller, and is counted', async () => {
  const { lab, origin, session } = await openLab(
    (request, response) => void request.pipe(response.writeHead(201, { 'Set-Cookie': ['a=1', 'b=2'] })),
  );
  await using _ = lab;
  const headers = {
    ':method': 'PATCH',
    ':path': '/a%2Fb?c=d',
    ':authority': 'orders.internal:8080',
    cookie: ['x=1', 'y=2'],
    te: 'trailers',
    'client-cert': ':forged:',
  };
  const answer = await call(session, headers, 'body');
  assert.deepEqual([answer.headers[':status'], answer.headers['set-cookie'], answer.body], [201, ['a=1', 'b=2'], 'body']);
  const [seen] = origin.requests;
  assert.deepEqual([seen!.method, seen!.url], ['PATCH', '/a%2Fb?c=d']);
  const valuesOf = (name: string) =>
    seen!.rawHeaders.filter((_value, at) => at % 2 === 1 && seen!.rawHeaders[at - 1]!.toLowerCase() === name);
  assert.deepEqual([valuesOf('host'), valuesOf('cookie'), valuesOf('te')], [['orders.internal:8080'], ['x=1; y=2'], []]);
  assert.match(valuesOf('x-forwarded-client-cert')[0]!, /URI=spiffe:\/\/acme\.example\/test\/storefront$/);
  assert.deepEqual([valuesOf('client-cert').length, valuesOf('client-cert')[0] === ':forged:'], [1, false]);
  const calls = lab.proxy.takeReport().counts!.filter(({ unit }) => unit === Unit.CALL);
  assert.deepEqual(
    calls.map(({ channel, outcome, count }) => [channel, outcome, count]),
    [[Channel.MTLS, Outcome.ACCEPTED, 1n]],
  );
});

test('a caller that offers HTTP/1.1 gets it, on the same port', async () => {
  const { lab } = await openLab();
  await using _ = lab;
  const options = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  for (const ALPNProtocols of [['http/1.1'], undefined]) {
    const { text } = await callOverTls(lab.portOf(0), { ...options, ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }) });
    assert.match(text, /^HTTP\/1\.1 200 /);
  }
});

test('large bodies stream both ways, with a length and without, many at a time', async () => {
  const { lab, session } = await openLab((request, response) => void request.pipe(response));
  await using _ = lab;
  const body = Buffer.alloc(400_000, 'x');
  const post = { ':method': 'POST', ':path': '/' };
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_one, index) => call(session, index % 2 === 0 ? post : { ...post, 'content-length': body.length }, body)),
  );
  assert.deepEqual(new Set(answers.map((answer) => answer.body.length)), new Set([body.length]));
});

test('HEAD, 204 and 304 have no body; a length stays; trailers arrive; Expect is answered', async () => {
  const { lab, session } = await openLab((request, response) => {
    const status = request.url === '/204' ? 204 : request.url === '/304' ? 304 : 200;
    if (request.url === '/trailers') {
      response.writeHead(200, { Trailer: 'X-Checksum' });
      response.write('a');
      response.addTrailers({ 'X-Checksum': '42' });
      return void response.end();
    }
    request
      .resume()
      .on('end', () => response.writeHead(status, status === 200 ? { 'Content-Length': 2 } : {}).end(status === 200 ? 'ok' : undefined));
  });
  await using _ = lab;
  const head = await call(session, { ':method': 'HEAD', ':path': '/' });
  assert.deepEqual([head.headers[':status'], head.headers['content-length'], head.body], [200, '2', '']);
  assert.equal((await call(session, { ':path': '/204' })).headers[':status'], 204);
  assert.equal((await call(session, { ':path': '/304' })).headers[':status'], 304);
  assert.equal((await call(session, { ':path': '/trailers' })).trailers['x-checksum'], '42');
  const expecting = session.request({ ':method': 'POST', ':path': '/', expect: '100-continue' });
  await once(expecting, 'continue');
  expecting.end('x');
  const [answer] = (await once(expecting.resume(), 'response')) as [IncomingHttpHeaders];
  assert.equal(answer[':status'], 200);
});

for (const [name, headers] of [
  ['a host that differs', { ':path': '/', ':authority': 'a', host: 'b' }],
  ['a path with a space', { ':path': '/a b' }],
  ['a path that is a whole URL', { ':path': 'http://elsewhere/' }],
  ['a path with a line feed', { ':path': '/ HTTP/1.1\r\nx: y' }],
  ['an authority that is none', { ':path': '/', ':authority': 'a b' }],
  ['an authority with a user', { ':path': '/', ':authority': 'u@a' }],
  ['a method that nobody knows', { ':method': 'BREW', ':path': '/' }],
  ['a length in another spelling', { ':path': '/', content_length: '5' }],
  ['a transfer coding in another spelling', { ':path': '/', transfer_encoding: 'chunked' }],
  ['a tunnel', { ':method': 'CONNECT', ':authority': 'elsewhere:443' }],
  ['more fields than anybody sends', Object.fromEntries([[':path', '/'], ...Array.from({ length: 300 }, (_one, at) => [`x-${at}`, 'a'])])],
] as readonly (readonly [string, OutgoingHttpHeaders])[]) {
  test(`${name}: refused, and the service sees nothing of it`, async () => {
    const { lab, origin, session } = await openLab();
    await using _ = lab;
    const { headers: answer, rstCode } = await call(session, headers);
    assert.ok(Number(answer[':status']) === 400 || (rstCode !== 0 && answer[':status'] === undefined), `${answer[':status']} ${rstCode}`);
    assert.equal(origin.octets, 0);
    assert.equal((await call(openSession(lab), { ':path': '/' })).headers[':status'], 200);
  });
}

test('a body that is reset half way is no whole request to the service', async () => {
  const ends: boolean[] = [];
  const gone = Promise.withResolvers<void>();
  const { lab, session } = await openLab((request) => {
    request.resume();
    request.on('error', () => {});
    request.on('close', () => {
      ends.push(request.complete);
      gone.resolve();
    });
    stop.abort();
  });
  await using _ = lab;
  const stop = new AbortController();
  // `close` would end the body first, and be right to be taken for its end.
  const stream = session.request({ ':method': 'POST', ':path': '/' }, { signal: stop.signal });
  stream.on('error', () => {});
  stream.write('half');
  await gone.promise;
  assert.deepEqual(ends, [false]);
});

test('a small body is read whole before the service is asked, and one that stands still is given up', async () => {
  const { lab, origin, session } = await openLab((request, response) => void request.pipe(response));
  await using _ = lab;
  const small = session.request({ ':method': 'POST', ':path': '/', 'content-length': 4 });
  small.on('error', () => {});
  small.write('ab');
  assert.equal((await call(session, { ':method': 'POST', ':path': '/other' }, 'x')).body, 'x');
  assert.deepEqual(
    origin.requests.map(({ url }) => url),
    ['/other'],
  );
  small.end('cd');
  assert.equal(String((await once(small, 'data'))[0]), 'abcd');
  const stalled = session.request({ ':method': 'POST', ':path': '/' });
  stalled.on('error', () => {});
  stalled.write('half');
  await new Promise((resolve) => stalled.on('close', resolve));
  const failed = lab.proxy.takeReport().counts!.filter(({ outcome }) => outcome === Outcome.FAILED);
  assert.deepEqual(
    failed.map(({ reason }) => reason),
    ['timeout'],
  );
});

test('an answer that breaks off is reset, one with an odd status is 502, and a service that is away is 503', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  let answer = '';
  const { port, server } = await tcpOrigin(lab, (socket) => socket.on('data', () => socket.end(answer)));
  await lab.apply({ inbound: [inboundTo(port, 'enforce')] });
  const session = openSession(lab);
  for (const framing of ['Content-Length: 100\r\n\r\nhalf', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n']) {
    answer = `HTTP/1.1 200 OK\r\n${framing}`;
    const half = await call(session, { ':path': '/' });
    assert.deepEqual([half.headers[':status'], half.rstCode, half.isWhole], [200, constants.NGHTTP2_INTERNAL_ERROR, false]);
  }
  answer = 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n';
  assert.equal((await call(session, { ':path': '/' })).headers[':status'], 502);
  answer = 'HTTP/1.1 200 OK\r\nHTTP2-Settings: x\r\nTE: gzip\r\nConnection: close\r\nX-A: b\r\n\r\nall';
  const odd = await call(session, { ':path': '/' });
  assert.deepEqual([odd.headers[':status'], odd.headers['te'], odd.headers['x-a'], odd.body], [200, undefined, 'b', 'all']);
  server.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await call(session, { ':path': '/' })).headers[':status'], 503);
});

test('a caller that does not read stops the service; a revoked one is told to go', async () => {
  const written = { octets: 0 };
  const { lab, session } = await openLab((_request, response) => {
    const fill = (): void => {
      do written.octets += 65_536;
      while (response.write(Buffer.alloc(65_536)) && written.octets < 100_000_000);
    };
    response.on('drain', fill);
    fill();
  });
  await using _ = lab;
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => {});
  stream.pause();
  let before = -1;
  while (written.octets !== before || written.octets === 0) {
    before = written.octets;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(written.octets < 20_000_000, `the service wrote ${written.octets} octets`);
  const told = once(session, 'goaway');
  lab.revoke({ suspended: [STOREFRONT] });
  await told;
  await once(session, 'close');
});

/** Answers a WebSocket handshake and echoes; `accept` of what the key demands. */
function acceptWebSocket(origin: Origin, accept: (key: string) => string): void {
  origin.server.on('upgrade', (request, socket: Duplex) => {
    socket.on('error', () => {});
    origin.requests.push({ method: request.method!, url: request.url!, rawHeaders: request.rawHeaders });
    if (request.url === '/no') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: ${accept(request.headers['sec-websocket-key']!)}\r\n\r\nhello`,
    );
    socket.pipe(socket);
  });
}

const accepted = (key: string): string => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const WEBSOCKET = {
  ':method': 'CONNECT',
  ':protocol': 'websocket',
  ':scheme': 'https',
  ':path': '/ws',
  'sec-websocket-version': '13',
  'sec-websocket-protocol': 'chat',
};

async function settled(session: ClientHttp2Session): Promise<void> {
  if (session.remoteSettings?.enableConnectProtocol !== true) await once(session, 'remoteSettings');
}

test('a WebSocket by extended CONNECT becomes one of HTTP/1.1, passes octets both ways and ends in each direction by itself', async () => {
  const { lab, origin, session } = await openLab();
  await using _ = lab;
  acceptWebSocket(origin, accepted);
  await settled(session);
  const stream = session.request(WEBSOCKET);
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  assert.deepEqual([answer[':status'], answer['sec-websocket-protocol'], answer['sec-websocket-accept']], [200, 'chat', undefined]);
  stream.end('frame');
  await once(stream, 'end');
  assert.equal(text, 'helloframe');
  const [seen] = origin.requests;
  assert.equal(seen!.method, 'GET');
  assert.ok(seen!.rawHeaders.some((value) => /^By=.*storefront$/.test(value)));
});

test('a WebSocket that the service refuses, or does not prove to have accepted, is none', async () => {
  const { lab, origin, session } = await openLab();
  await using _ = lab;
  acceptWebSocket(origin, () => 'wrong');
  await settled(session);
  assert.equal((await call(session, { ...WEBSOCKET, ':path': '/no' }, '')).headers[':status'], 403);
  assert.equal((await call(session, WEBSOCKET, '')).headers[':status'], 502);
  assert.equal((await call(session, { ...WEBSOCKET, ':protocol': 'connect-udp' }, '')).headers[':status'], 400);
});

test('the tunnel of a revoked identity is cut, and a caller that resets it ends it at the service', async () => {
  const { lab, origin, session } = await openLab();
  await using _ = lab;
  const closed: Promise<unknown>[] = [];
  acceptWebSocket(origin, accepted);
  origin.server.on('upgrade', (_request, socket: Duplex) => closed.push(once(socket, 'close')));
  await settled(session);
  const reset = session.request(WEBSOCKET);
  reset.on('error', () => {});
  await once(reset, 'response');
  reset.close(constants.NGHTTP2_CANCEL);
  const open = session.request(WEBSOCKET);
  open.on('error', () => {});
  await once(open.resume(), 'response');
  lab.revoke({ suspended: [STOREFRONT] });
  await once(open, 'close');
  await Promise.all(closed);
  assert.equal(closed.length, 2);
});

test('curl --http2 is served by a service of HTTP/1.1', { skip: missing('curl') }, async () => {
  const { lab } = await openLab((request, response) => void request.pipe(response));
  await using _ = lab;
  await using files = await makeFiles();
  const credential = lab.authority.issue({ uris: [STOREFRONT] });
  const [cert, key] = [await files.write('cert.pem', chainPemOf(credential)), await files.write('key.pem', keyPemOf(credential))];
  const body = await files.write('body', 'x'.repeat(300_000));
  const args = ['-sk', '--http2', '--cert', cert, '--key', key, '--data-binary', `@${body}`, '-w', '\n%{http_version} %{response_code}'];
  const { stdout } = await runProgram('curl', [...args, `https://127.0.0.1:${lab.portOf(0)}/`]);
  assert.equal(stdout, `${'x'.repeat(300_000)}\n2 200`);
});

test('a trailer field of any name keeps its value', async () => {
  const { lab, session } = await openLab((_request, response) => {
    response.writeHead(200, { Trailer: 'constructor' });
    response.addTrailers({ constructor: 'mason' } as object as Record<string, string>);
    response.end('a');
  });
  await using _ = lab;
  const { trailers } = await call(session, { ':path': '/' });
  assert.deepEqual(Object.entries(trailers), [['constructor', 'mason']]);
});

test('bodies half sent of one connection hold few connections to the service; its other calls and those of others go on, and all end', async () => {
  const { lab, origin, session } = await openLab((request, response) => void request.resume().on('end', () => response.end('ok')));
  await using _ = lab;
  let most = 0;
  origin.server.on('connection', () => origin.server.getConnections((_error, count) => (most = Math.max(most, count))));
  const halves = Array.from({ length: 60 }, () => {
    const stream = session.request({ ':method': 'POST', ':path': '/half' });
    stream.write('half');
    return stream;
  });
  const answers = halves.map((stream) => once(stream, 'response'));
  assert.equal((await call(session, { ':path': '/whole' })).body, 'ok');
  assert.equal((await call(openSession(lab), { ':path': '/other' })).body, 'ok');
  assert.ok(most <= MAXIMUM_TURNS + 2, `${most} connections`);
  // Whoever waits takes the turn of whoever leaves.
  for (const stream of halves.slice(0, 5)) stream.close(constants.NGHTTP2_CANCEL);
  answers.slice(0, 5).forEach((answer) => answer.catch(() => {}));
  for (const stream of halves.slice(5)) stream.resume().end();
  for (const answer of answers.slice(5)) assert.equal(((await answer)[0] as IncomingHttpHeaders)[':status'], 200);
});

test('answers that HTTP/2 has no form for harm nobody', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  let answer = '';
  const { port } = await tcpOrigin(lab, (socket) => void socket.on('data', () => socket.write(answer)));
  await lab.apply({ inbound: [inboundTo(port, 'enforce')] });
  const session = openSession(lab);
  const chunks = 'Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n';
  for (answer of [
    `HTTP/1.1 205 Reset Content\r\n${chunks}X-Sum: 1\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n__proto__: a\r\n${chunks}__proto__: b\r\nx: \xff\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${'Set-Cookie: a\r\n'.repeat(250)}${chunks}\r\n`,
    `HTTP/1.1 200 OK\r\nX-Long: ${'a'.repeat(60_000)}\r\nContent-Length: 2\r\n\r\nok`,
    `HTTP/1.1 200 OK\r\nDate: a\r\nDate: b\r\nContent-Type: a\r\nContent-Type: b\r\nContent-Length: 2\r\n\r\nok`,
    'HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nsec-websocket-accept: a\r\nalt-svc: \x80\r\n!#$%: a\r\nContent-Length: 0\r\n\r\n',
  ]) {
    for (const method of ['GET', 'HEAD', 'POST']) {
      await call(session, { ':method': method, ':path': '/' }, method === 'POST' ? 'x' : null);
    }
  }
  answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  assert.equal((await call(openSession(lab), { ':path': '/' })).body, 'ok');
});
