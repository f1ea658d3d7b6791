import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  sensitiveHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, Socket } from 'node:net';
import { test } from 'node:test';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { GRPC } from '../../../test/support/grpc-lab.ts';
import { inboundTo, ProxyLab } from '../../../test/support/proxy-lab.ts';
import { defaultLimits } from '../tls/port-deps.ts';
import type { CallGate } from './call-gate.ts';
import { serveHttp2Calls } from './http2-calls.ts';

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]) => void;

async function openLab(onStream: OnStream): Promise<{ lab: ProxyLab; service: Http2Server; session: ClientHttp2Session }> {
  const lab = new ProxyLab();
  const service = createServer();
  service.on('stream', (stream, headers, _flags, raw: readonly string[]) => {
    stream.on('error', () => {});
    onStream(stream as ServerHttp2Stream, headers, raw);
  });
  service.on('session', (session) => lab.onClose(() => session.destroy()));
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => service.close());
  await lab.apply({ inbound: [inboundTo((service.address() as AddressInfo).port, 'observe', GRPC)] });
  return { lab, service, session: openSession(lab) };
}

function openSession(lab: ProxyLab): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${lab.portOf(0)}`);
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  return session;
}

type Answer = {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
  readonly rstCode: number | undefined;
};

function call(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body: string | Buffer | null = null): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const stream = session.request(headers, { endStream: body === null });
  let answer: Answer = { headers: {}, trailers: {}, body: '', rstCode: 0 };
  stream.on('response', (received) => (answer = { ...answer, headers: received }));
  stream.on('trailers', (trailers) => (answer = { ...answer, trailers }));
  stream.on('data', (chunk: Buffer) => (answer = { ...answer, body: answer.body + chunk.toString('latin1') }));
  stream.on('error', () => {});
  stream.on('close', () => resolve({ ...answer, rstCode: stream.rstCode }));
  if (body !== null) stream.end(body);
  return promise;
}

const failuresOf = (lab: ProxyLab) =>
  lab.proxy
    .takeReport()
    .counts!.filter(({ unit, outcome }) => unit === Unit.CALL && outcome === Outcome.FAILED)
    .map(({ reason }) => reason);

test('a call keeps its method, path, authority, fields that come twice and those that are never indexed', async () => {
  const seen: (readonly string[])[] = [];
  const marked: string[][] = [];
  const { lab, session } = await openLab((stream, headers, raw) => {
    seen.push(raw);
    marked.push((headers as unknown as { [key: symbol]: string[] })[sensitiveHeaders]!);
    stream.respond({ ':status': 201, 'set-cookie': ['a=1', 'b=2'], 'x-answer': 'yes' });
    stream.end('done');
  });
  await using _ = lab;
  const headers = {
    ':method': 'PUT',
    ':path': '/a%2Fb?c=d',
    ':authority': 'orders.internal:8080',
    cookie: ['x=1', 'y=2'],
    authorization: 'Bearer t',
    te: 'trailers',
    [sensitiveHeaders]: ['authorization'],
  };
  const answer = await call(session, headers as OutgoingHttpHeaders, 'body');
  assert.deepEqual([answer.headers[':status'], answer.headers['set-cookie'], answer.body], [201, ['a=1', 'b=2'], 'done']);
  const raw = seen[0]!;
  const valuesOf = (name: string) => raw.filter((_value, at) => at % 2 === 1 && raw[at - 1] === name);
  assert.deepEqual([valuesOf(':method'), valuesOf(':path'), valuesOf(':authority')], [['PUT'], ['/a%2Fb?c=d'], ['orders.internal:8080']]);
  assert.deepEqual([valuesOf('cookie'), valuesOf('te')], [['x=1', 'y=2'], ['trailers']]);
  // Short cookies are never indexed by nghttp2 itself.
  assert.deepEqual([marked[0]!.includes('authorization'), marked[0]!.includes('te')], [true, false]);
});

test('trailers pass in both directions, and an answer without a body stays one', async () => {
  const { lab, session } = await openLab((stream, headers) => {
    if (headers[':path'] === '/only') return void stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true });
    let received: IncomingHttpHeaders = {};
    stream.on('trailers', (trailers) => (received = trailers));
    stream.resume().on('end', () => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': String(received['x-sum']) }));
      stream.end('a');
    });
  });
  await using _ = lab;
  const request = session.request({ ':method': 'POST', ':path': '/' }, { waitForTrailers: true });
  request.on('wantTrailers', () => request.sendTrailers({ 'x-sum': '42' }));
  request.end('body');
  const [trailers] = (await once(request.resume(), 'trailers')) as [IncomingHttpHeaders];
  assert.equal(trailers['x-checksum'], '42');
  const only = session.request({ ':method': 'POST', ':path': '/only' }, { endStream: true });
  const [, flags] = (await once(only, 'response')) as [unknown, number];
  assert.equal(flags & constants.NGHTTP2_FLAG_END_STREAM, constants.NGHTTP2_FLAG_END_STREAM);
});

test('a reset passes with its code, from the service and from the caller', async () => {
  const codes: (number | undefined)[] = [];
  const reset = Promise.withResolvers<void>();
  const { lab, session } = await openLab((stream, headers) => {
    if (headers[':path'] === '/calm') return void stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    stream.respond({ ':status': 200 });
    stream.write('open');
    stream.on('close', () => {
      codes.push(stream.rstCode);
      reset.resolve();
    });
  });
  await using _ = lab;
  assert.equal((await call(session, { ':path': '/calm' })).rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => {});
  await once(stream, 'data');
  stream.close(constants.NGHTTP2_NO_ERROR + 0x5);
  await reset.promise;
  assert.deepEqual(codes, [constants.NGHTTP2_STREAM_CLOSED]);
});

test('what breaks off half way is no whole request and no whole answer to anybody', async () => {
  const ended: string[] = [];
  const gone = Promise.withResolvers<void>();
  const { lab, session } = await openLab((stream, headers) => {
    if (headers[':path'] === '/down') {
      stream.respond({ ':status': 200 });
      return void stream.write('half', () => stream.session!.destroy());
    }
    stream.on('data', () => stop.abort());
    // node:http2 ends a cancelled stream, too, and says so beside it.
    stream.on('end', () => void (stream.aborted || ended.push('request')));
    stream.on('close', () => gone.resolve());
  });
  await using _ = lab;
  const stop = new AbortController();
  // `close` of node:http2 would end the body first, and be right to be taken for its end.
  const up = session.request({ ':method': 'POST', ':path': '/up' }, { signal: stop.signal });
  up.on('error', () => {});
  up.write('half');
  await gone.promise;
  const down = session.request({ ':path': '/down' });
  down.on('error', () => {});
  down.on('end', () => ended.push('answer'));
  down.resume();
  await new Promise((resolve) => down.on('close', resolve));
  assert.deepEqual(ended, []);
});

test('a call that the service refused unseen is sent again, and one that was reset otherwise is not', async () => {
  const seen: string[] = [];
  const { lab, session } = await openLab((stream, headers) => {
    const path = String(headers[':path']);
    seen.push(path);
    let body = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    stream.on('end', () => {
      if (path === '/once' && seen.length === 1) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else if (path === '/broken') stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      else {
        stream.respond({ ':status': 200 });
        stream.end(body);
      }
    });
  });
  await using _ = lab;
  const again = await call(session, { ':method': 'POST', ':path': '/once' }, 'the body');
  assert.deepEqual([again.headers[':status'], again.body], [200, 'the body']);
  assert.deepEqual(seen.splice(0), ['/once', '/once']);
  const broken = await call(session, { ':method': 'POST', ':path': '/broken' }, 'x');
  assert.deepEqual([broken.rstCode, seen], [constants.NGHTTP2_INTERNAL_ERROR, ['/broken']]);
});

test('a call of which more was sent than is kept is refused with the same code, so that its caller may send it again', async () => {
  const { lab, session } = await openLab((stream) => {
    let octets = 0;
    stream.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      if (octets > 100_000) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    });
  });
  await using _ = lab;
  const { rstCode } = await call(session, { ':method': 'POST', ':path': '/' }, Buffer.alloc(1_000_000));
  assert.equal(rstCode, constants.NGHTTP2_REFUSED_STREAM);
});

test('a service whose connection breaks under a call breaks it, and one that broke before the answer is 502', async () => {
  const { lab, session } = await openLab((stream, headers) => {
    if (headers[':path'] === '/half') stream.respond({ ':status': 200 });
    if (headers[':path'] === '/half') stream.write('half', () => stream.session!.destroy());
    else stream.session!.destroy();
  });
  await using _ = lab;
  const half = await call(session, { ':path': '/half' });
  assert.deepEqual([half.headers[':status'], half.rstCode], [200, constants.NGHTTP2_INTERNAL_ERROR]);
  assert.equal((await call(session, { ':path': '/' })).headers[':status'], 502);
  const grpc = await call(session, { ':method': 'POST', ':path': '/', 'content-type': 'application/grpc+proto' }, 'x');
  assert.deepEqual([grpc.headers[':status'], grpc.headers['grpc-status']], [200, '14']);
  assert.deepEqual(new Set(failuresOf(lab)), new Set(['upstream-broken']));
});

test('an answer that comes before the end of the request arrives, and the rest of the request is of no use', async () => {
  const { lab, session } = await openLab((stream) => {
    stream.respond({ ':status': 413 });
    stream.end('too large');
  });
  await using _ = lab;
  const stream = session.request({ ':method': 'POST', ':path': '/' });
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  stream.on('error', () => {});
  stream.write('a');
  await once(stream, 'end');
  assert.equal(text, 'too large');
  stream.end('b');
});

test('a slow reader slows the service down, a slow service its caller, and other streams of the connection go on', async () => {
  let written = 0;
  let read = 0;
  const { lab, session } = await openLab((stream, headers) => {
    if (headers[':path'] === '/fast') return void stream.respond({ ':status': 204 }, { endStream: true });
    if (headers[':path'] === '/up') {
      stream.respond({ ':status': 200 });
      stream.once('readable', () => (read += 1));
      return;
    }
    stream.respond({ ':status': 200 });
    const chunk = Buffer.alloc(65_536);
    const fill = (): void => {
      do written += chunk.length;
      while (stream.write(chunk) && written < 100_000_000);
    };
    stream.on('drain', fill);
    fill();
  });
  await using _ = lab;
  const down = session.request({ ':path': '/down' });
  down.on('error', () => {});
  down.pause();
  await once(down, 'response');
  const up = session.request({ ':method': 'POST', ':path': '/up' });
  up.on('error', () => {});
  let sent = 0;
  const send = (): void => {
    do sent += 65_536;
    while (up.write(Buffer.alloc(65_536)) && sent < 100_000_000);
  };
  up.on('drain', send);
  send();
  let before = '';
  // Both sides stand still when a while goes by without an octet more.
  while (before !== `${written} ${sent}`) {
    before = `${written} ${sent}`;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal((await call(session, { ':path': '/fast' })).headers[':status'], 204);
  }
  assert.ok(written < 5_000_000 && sent < 5_000_000, `the service wrote ${written}, the caller ${sent} octets`);
  down.close();
  up.close();
});

test('an answer that its caller does not read is given up', async () => {
  const closed = Promise.withResolvers<number | undefined>();
  const { lab, session } = await openLab((stream) => {
    stream.respond({ ':status': 200 });
    stream.on('close', () => closed.resolve(stream.rstCode));
    const fill = (): void => {
      while (!stream.destroyed && stream.write(Buffer.alloc(65_536)));
    };
    stream.on('drain', fill);
    fill();
  });
  await using _ = lab;
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => {});
  stream.pause();
  assert.equal(await closed.promise, constants.NGHTTP2_CANCEL);
});

test('what nghttp2 lets pass and node:http2 does not send harms nobody', async () => {
  const { lab, session } = await openLab((stream, headers) => {
    if (headers[':path'] === '/status') return void stream.respond({ ':status': 599 }, { endStream: true });
    stream.respond({ ':status': 200, 'x-te': String(headers['te']), te: 'trailers' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-a': ['b', 'c'], te: 'trailers' }));
    stream.end();
  });
  await using _ = lab;
  const { headers, trailers } = await call(session, { ':path': '/', te: 'trailers' });
  assert.deepEqual([headers['x-te'], headers['te'], trailers['x-a'], trailers['te']], ['trailers', undefined, 'b, c', undefined]);
  assert.equal((await call(session, { ':path': '/status' })).headers[':status'], 599);
});

for (const [name, headers] of [
  ['a Host field for another host', { ':path': '/', ':authority': 'a', host: 'b' }],
  ['a path that is none', { ':path': '*', ':method': 'OPTIONS' }],
  ['a tunnel', { ':method': 'CONNECT', ':authority': 'elsewhere:443' }],
] as const) {
  test(`${name}: refused, and the service sees nothing of it`, async () => {
    let seen = 0;
    const { lab, session } = await openLab(() => (seen += 1));
    await using _ = lab;
    const { headers: answer } = await call(session, headers);
    assert.deepEqual([answer[':status'], answer['countersign-failure']], [400, undefined], 'the reason is not for a peer');
    assert.equal(seen, 0);
    assert.deepEqual(failuresOf(lab), ['request-malformed']);
  });
}

test('a refused call is answered with 403, or PERMISSION_DENIED for gRPC, and the connection ends', async () => {
  const gate: CallGate = {
    limits: defaultLimits,
    admit: () => ({ kind: 'denied', status: 403, closes: true, challenge: null }),
    answers: null,
    isSilent: false,
    onBroken: () => {},
  };
  const server = createTcpServer((socket) => void serveHttp2Calls(socket, gate));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  for (const [type, ...expected] of [
    ['application/json', 403, undefined],
    ['application/grpc', 200, '7'],
  ] as const) {
    const session = connect(`http://127.0.0.1:${port}`);
    const closed = once(session, 'close');
    const { headers } = await call(session, { ':method': 'POST', ':path': '/', 'content-type': type }, 'x');
    assert.deepEqual([headers[':status'], headers['grpc-status']], expected);
    await closed;
  }
  server.close();
});

test('a connection that is gone before it is served harms nobody', () => {
  const gate: CallGate = {
    limits: defaultLimits,
    admit: () => ({ kind: 'denied', status: 403, closes: true, challenge: null }),
    answers: null,
    isSilent: false,
    onBroken: () => {},
  };
  const socket = new Socket();
  socket.destroy();
  serveHttp2Calls(socket, gate).drain();
});

test('what a service says of the reason of a failure reaches nobody: only a proxy says it, to its own service', async () => {
  const { lab, session } = await openLab((stream) => {
    stream.respond({ ':status': 200, 'countersign-failure': 'revoked' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'countersign-failure': 'revoked', 'x-sum': '1' }));
    stream.end();
  });
  await using _ = lab;
  const { headers, trailers } = await call(session, { ':path': '/' });
  assert.deepEqual([headers['countersign-failure'], trailers['countersign-failure'], trailers['x-sum']], [undefined, undefined, '1']);
});
