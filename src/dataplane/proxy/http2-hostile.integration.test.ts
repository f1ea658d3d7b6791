import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import {
  CLIENT_PREFACE,
  encodeFields,
  encodeFrame,
  encodeSettings,
  END_HEADERS,
  END_STREAM,
  type Frame,
  frameTypes,
  PADDED,
  readFrames,
} from '../../core/http2/frame.ts';
import { GRPC } from '../../../test/support/grpc-lab.ts';
import { data, EMPTY, headers, Http2Attacker, ping, request, reset } from '../../../test/support/http2-attacker.ts';
import { callOverTls, clientOptions, inboundTo, ProxyLab, STOREFRONT } from '../../../test/support/proxy-lab.ts';

type Lab = {
  readonly lab: ProxyLab;
  readonly port: number;
  /** Streams that the service has seen, and how many of them are open. */
  readonly seen: () => number;
  readonly open: () => number;
};

async function openLab(onStream?: (stream: ServerHttp2Stream, raw: readonly string[]) => void): Promise<Lab> {
  const lab = new ProxyLab();
  let seen = 0;
  let open = 0;
  const service: Http2Server = createServer({ maxSessionMemory: 1_000 });
  service.on('session', (session) => lab.onClose(() => session.destroy()));
  service.on('stream', (stream, headers, _flags, raw: readonly string[]) => {
    stream.on('error', () => {});
    if (headers[':path'] === '/good') return void (stream as ServerHttp2Stream).respond({ ':status': 200 }, { endStream: true });
    seen += 1;
    open += 1;
    stream.on('close', () => (open -= 1));
    onStream?.(stream as ServerHttp2Stream, raw);
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => service.close());
  await lab.apply({ inbound: [inboundTo((service.address() as AddressInfo).port, 'observe', GRPC)] });
  return { lab, port: lab.portOf(0), seen: () => seen, open: () => open };
}

/** The first call was answered, reset, or ended with its connection. */
function isAnswer({ type, streamId }: Frame): boolean {
  return type === frameTypes.goaway || (streamId === 1 && (type === frameTypes.rstStream || type === frameTypes.headers));
}

/** Others are served, whatever the attacker does. */
async function serves({ port }: Lab): Promise<void> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const stream = session.request({ ':path': '/good' });
  const [answer] = (await once(stream.resume(), 'response')) as [{ readonly ':status': number }];
  assert.equal(answer[':status'], 200);
  session.close();
}

/** Resident memory that something costs, in megabytes. */
async function grownMb(during: () => Promise<void>): Promise<number> {
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  await during();
  return (process.memoryUsage().rss - before) / 1_000_000;
}

test('rapid reset: the connection ends after a burst, few calls are open at the service at a time, and others are served', async () => {
  const opened = await openLab();
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  let most = 0;
  const sent = await attacker.flood(1_000, (index) => {
    most = Math.max(most, opened.open());
    return Buffer.concat(
      Array.from({ length: 10 }, (_one, at) => [headers(20 * index + 2 * at + 1), reset(20 * index + 2 * at + 1)]).flat(),
    );
  });
  await attacker.closed;
  assert.ok(sent < 1_000 && opened.seen() < 2_500, `${sent} batches, ${opened.seen()} calls`);
  assert.ok(most <= 100, `${most} calls open`);
  await serves(opened);
});

test('a header that goes on for ever in CONTINUATION frames ends the connection', async () => {
  const opened = await openLab();
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  attacker.socket.write(headers(1, 0));
  const field = encodeFields([['x-a', 'a'.repeat(1_000)]]);
  const sent = await attacker.flood(10_000, () => encodeFrame({ type: frameTypes.continuation, flags: 0, streamId: 1, payload: field }));
  await attacker.closed;
  assert.ok(sent < 1_000, `${sent} frames`);
  assert.equal(opened.seen(), 0);
  await serves(opened);
});

test('empty CONTINUATION frames end the connection, too', async () => {
  const opened = await openLab();
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  attacker.socket.write(headers(1, 0));
  const empty = encodeFrame({ type: frameTypes.continuation, flags: 0, streamId: 1, payload: EMPTY });
  assert.ok((await attacker.flood(10_000, () => empty)) < 10_000);
  await attacker.closed;
  await serves(opened);
});

test('a header list beyond the limit is refused for its call, and a bomb of HPACK costs no memory', async () => {
  const opened = await openLab();
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  // One entry of the dynamic table (RFC 7541 section 6.2.1), then references to it of one octet each.
  const entry = Buffer.concat([Buffer.from([0x40]), encodeFields([['x-bomb', 'b'.repeat(3_900)]]).subarray(1)]);
  const bomb = Buffer.concat([request('/bad'), entry, Buffer.alloc(8_000, 0xbe)]);
  const grown = await grownMb(async () => {
    for (let streamId = 1; streamId < 100; streamId += 2) attacker.socket.write(headers(streamId, END_HEADERS | END_STREAM, bomb));
    while (attacker.frames.length < 40 && !attacker.socket.destroyed) await Promise.race([once(attacker.socket, 'data'), attacker.closed]);
  });
  assert.equal(opened.seen(), 0, 'the service sees none of them');
  assert.ok(grown < 100, `${grown} MB`);
  await serves(opened);
});

for (const [name, frame] of [
  ['PING', ping],
  ['SETTINGS', encodeSettings([[4, 65_535]])],
] as const) {
  test(`${name} frames whose answers are not read end the connection or stand still, in bounded memory`, async () => {
    const opened = await openLab();
    await using _ = opened.lab;
    const attacker = new Http2Attacker(opened.lab, opened.port);
    attacker.socket.pause();
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => frame));
    const grown = await grownMb(async () => {
      let isStuck = false;
      for (let batch = 0; batch < 2_000 && !isStuck && !attacker.socket.destroyed; batch++) {
        if (attacker.socket.write(many)) continue;
        const waited = new Promise<true>((resolve) => setTimeout(() => resolve(true), 1_000));
        isStuck = (await Promise.race([once(attacker.socket, 'drain').catch(() => {}), attacker.closed, waited])) === true;
      }
    });
    assert.ok(grown < 100, `${grown} MB`);
    attacker.socket.resume();
    await serves(opened);
  });
}

test('a caller with a window of zero gets nothing, and its calls are given up', async () => {
  const given = Promise.withResolvers<void>();
  const opened = await openLab((stream) => {
    stream.respond({ ':status': 200 });
    stream.write(Buffer.alloc(1_000_000));
    stream.on('close', () => opened.open() === 0 && given.resolve());
  });
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port, [[4, 0]]);
  const grown = await grownMb(async () => {
    for (let streamId = 1; streamId < 200; streamId += 2) attacker.socket.write(headers(streamId, END_HEADERS | END_STREAM));
    await given.promise;
  });
  assert.equal(opened.seen(), 100);
  assert.ok(grown < 150, `${grown} MB`);
  await serves(opened);
});

test('no more streams than allowed are open, idle ones included; the next ones are refused', async () => {
  const opened = await openLab();
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  await once(attacker.socket, 'data');
  for (let streamId = 1; streamId < 400; streamId += 2) attacker.socket.write(headers(streamId));
  attacker.socket.write(ping);
  while (!attacker.frames.some(({ type, flags }) => type === frameTypes.ping && flags === 1) && !attacker.socket.destroyed)
    await Promise.race([once(attacker.socket, 'data'), attacker.closed]);
  while (opened.seen() < 100) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(opened.seen(), 100);
  await serves(opened);
});

test('DATA that is nearly all padding is passed without it, and counts against the window', async () => {
  let octets = 0;
  const opened = await openLab((stream) => {
    stream.on('data', (chunk: Buffer) => (octets += chunk.length));
    stream.on('end', () => stream.respond({ ':status': 200 }, { endStream: true }));
  });
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  const padded = encodeFrame({
    type: frameTypes.data,
    flags: PADDED,
    streamId: 1,
    payload: Buffer.concat([Buffer.from([255]), Buffer.from('x'), Buffer.alloc(255)]),
  });
  attacker.socket.write(headers(1));
  for (let count = 0; count < 100; count++) attacker.socket.write(padded);
  attacker.send({ type: frameTypes.data, flags: END_STREAM, streamId: 1 });
  while (!attacker.frames.some(({ type }) => type === frameTypes.headers)) await once(attacker.socket, 'data');
  assert.equal(octets, 100);
});

test('DATA beyond the window ends the stream or the connection, and what was sent is bounded', async () => {
  const opened = await openLab((stream) => stream.pause());
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  attacker.socket.write(headers(1));
  const grown = await grownMb(async () => {
    const sent = await attacker.flood(5_000, () => data(0));
    assert.ok(sent < 5_000 || attacker.frames.some(({ type }) => type === frameTypes.rstStream || type === frameTypes.goaway));
  });
  assert.ok(grown < 150, `${grown} MB`);
  await serves(opened);
});

for (const [name, fields] of [
  ['a field of a connection', [['connection', 'keep-alive']]],
  ['a transfer coding', [['transfer-encoding', 'chunked']]],
  ['an upper case name', [['X-A', 'a']]],
  [
    'a pseudo field after another field',
    [
      ['x-a', 'a'],
      [':path', '/other'],
    ],
  ],
  ['a pseudo field twice', [[':method', 'GET']]],
  ['a pseudo field that nobody knows', [[':x', 'a']]],
  [
    'two lengths',
    [
      ['content-length', '1'],
      ['content-length', '2'],
    ],
  ],
  ['a te other than trailers', [['te', 'gzip']]],
] as readonly (readonly [string, readonly (readonly [string, string])[]])[]) {
  test(`${name}: the call is reset or refused, and the service sees nothing of it`, async () => {
    const opened = await openLab((stream) => stream.respond({ ':status': 200 }, { endStream: true }));
    await using _ = opened.lab;
    const attacker = new Http2Attacker(opened.lab, opened.port);
    attacker.socket.write(headers(1, END_HEADERS | END_STREAM, request('/bad', fields)));
    while (!attacker.frames.some(isAnswer) && !attacker.socket.destroyed)
      await Promise.race([once(attacker.socket, 'data'), attacker.closed]);
    assert.equal(opened.seen(), 0);
    await serves(opened);
  });
}

test('a value with a line feed or a NUL reaches no service: nghttp2 leaves the field out', async () => {
  const seen: (readonly string[])[] = [];
  const opened = await openLab((stream, raw) => {
    seen.push(raw);
    stream.respond({ ':status': 200 }, { endStream: true });
  });
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  const fields = [
    ['x-a', 'a\r\nx-forwarded-client-cert: forged'],
    ['x-b', 'a\0b'],
    ['x-c', 'c'],
  ] as const;
  attacker.socket.write(headers(1, END_HEADERS | END_STREAM, request('/bad', fields)));
  while (!attacker.frames.some(isAnswer)) await once(attacker.socket, 'data');
  assert.deepEqual(
    seen[0]!.filter((_text, at) => at % 2 === 0 && !seen[0]![at]!.startsWith(':')),
    ['x-c'],
  );
});

test('a te in capitals, which nghttp2 lets pass, is put right', async () => {
  const seen: (readonly string[])[] = [];
  const opened = await openLab((stream, raw) => {
    seen.push(raw);
    stream.respond({ ':status': 200 }, { endStream: true });
  });
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  attacker.socket.write(headers(1, END_HEADERS | END_STREAM, request('/bad', [['te', 'TRAILERS']])));
  while (!attacker.frames.some(isAnswer)) await once(attacker.socket, 'data');
  assert.equal(seen[0]![seen[0]!.indexOf('te') + 1], 'trailers');
});

test('a body longer or shorter than its length says is reset, and the service sees no whole call', async () => {
  let whole = 0;
  const opened = await openLab((stream) => void stream.resume().on('end', () => !stream.aborted && stream.rstCode === 0 && (whole += 1)));
  await using _ = opened.lab;
  const attacker = new Http2Attacker(opened.lab, opened.port);
  attacker.socket.write(headers(1, END_HEADERS, request('/bad', [['content-length', '5']])));
  attacker.send({ type: frameTypes.data, flags: END_STREAM, streamId: 1, payload: Buffer.from('abc') });
  while (!attacker.frames.some(({ type }) => type === frameTypes.rstStream))
    await Promise.race([once(attacker.socket, 'data'), attacker.closed]);
  while (opened.open() > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(whole, 0);
});

test('a first flight larger than what is read at a time arrives whole', async () => {
  const opened = await openLab((stream) => {
    let octets = 0;
    stream.on('data', (chunk: Buffer) => (octets += chunk.length));
    stream.on('end', () => stream.respond({ ':status': 200, 'x-octets': String(octets) }, { endStream: true }));
  });
  await using _ = opened.lab;
  const attacker = connect(opened.port, '127.0.0.1');
  attacker.write(Buffer.concat([Buffer.from(CLIENT_PREFACE), encodeSettings([]), headers(1), data(0), data(0), data(0), data(END_STREAM)]));
  let received: Uint8Array = EMPTY;
  for (;;) {
    received = Buffer.concat([received, ((await once(attacker, 'data')) as [Buffer])[0]]);
    const answer = readFrames(received).frames.find(({ type }) => type === frameTypes.headers);
    if (answer === undefined) continue;
    assert.equal(answer.payload[0], 0x88);
    break;
  }
  attacker.destroy();
});

test('what is no HTTP/2 on such a port is refused cleanly', async () => {
  const opened = await openLab();
  await using _ = opened.lab;
  const socket = connect(opened.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  socket.on('error', () => {});
  socket.resume();
  await new Promise((resolve) => socket.on('close', resolve));
  const failed = opened.lab.proxy.takeReport().counts!.filter(({ reason }) => reason === 'request-malformed');
  assert.equal(failed.length, 1);
});

test('a preface of HTTP/2 on a port of HTTP/1.1 is answered with 400 and the connection ends', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const origin = await lab.origin();
  await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  const attacker = connect(lab.portOf(0), '127.0.0.1', () =>
    attacker.write(Buffer.concat([Buffer.from(CLIENT_PREFACE), encodeSettings([]), headers(1)])),
  );
  attacker.on('error', () => {});
  let text = '';
  attacker.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  attacker.on('end', () => attacker.end());
  await new Promise((resolve) => attacker.on('close', resolve));
  assert.match(text, /^HTTP\/1\.1 400 /);
  assert.equal(origin.octets, 0);
});

/** Floods of frames that cost the sender little; each has to end the connection, over TLS before a service of HTTP/1.1 as elsewhere. */
const floods: readonly (readonly [name: string, batch: (index: number) => Buffer])[] = [
  [
    'rapid resets',
    (index) =>
      Buffer.concat(Array.from({ length: 50 }, (_, at) => [headers(2 * (50 * index + at) + 1), reset(2 * (50 * index + at) + 1)]).flat()),
  ],
  ['PINGs that nobody reads the answers of', () => Buffer.concat(Array.from({ length: 2_000 }, () => ping))],
  ['SETTINGS', () => Buffer.concat(Array.from({ length: 2_000 }, () => encodeSettings([])))],
];

for (const [name, batch] of floods) {
  test(`over TLS before a service of HTTP/1.1, ${name} end the connection, and others are served`, async () => {
    const lab = new ProxyLab();
    await using _ = lab;
    const origin = await lab.origin();
    await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
    const certificate = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
    const options = { host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, ...certificate };
    const socket = connectTls({ ...options, ALPNProtocols: ['h2'] });
    const attacker = new Http2Attacker(lab, socket);
    await once(socket, 'secureConnect');
    if (name.startsWith('PING') || name === 'SETTINGS') socket.pause();
    const sent = await attacker.flood(2_000, batch);
    assert.ok(sent < 2_000, `${sent} batches`);
    assert.match((await callOverTls(lab.portOf(0), certificate)).text, /^HTTP\/1\.1 200 /);
  });
}
