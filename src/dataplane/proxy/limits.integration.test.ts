import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type InboundSchema, Protocol, Termination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { makeFiles } from '../../../test/support/openssl.ts';
import { missing, runProgram } from '../../../test/support/peer-program.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  ProxyLab,
  requestText,
  STOREFRONT,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';

type Mode = Parameters<typeof inboundTo>[1];

async function openLab(mode: Mode, more: MessageInitShape<typeof InboundSchema>) {
  const lab = new ProxyLab();
  const origin = await lab.origin((request, response) => {
    let octets = 0;
    request.on('data', (chunk: Buffer) => (octets += chunk.length));
    request.on('end', () => response.end(String(octets)));
  });
  const shop = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const answer = await lab.apply({ inbound: [inboundTo(origin.port, mode, more)] });
  assert.equal(answer.kind, 'accepted');
  return { lab, origin, shop, port: lab.portOf(0) };
}

/** Opens connections that say this and nothing more, and resolves when the proxy has taken them. */
async function begin(lab: ProxyLab, port: number, count: number, octets = ''): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1'));
  lab.onClose(() => sockets.forEach((socket) => socket.destroy()));
  for (const socket of sockets) socket.on('error', () => {}).write(octets);
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

function limited(lab: ProxyLab, outcome: Outcome): number {
  const { counts = [] } = lab.proxy.takeReport();
  return counts
    .filter((count) => count.reason === 'limit-exceeded' && count.outcome === outcome)
    .reduce((sum, { count }) => sum + Number(count), 0);
}

for (const [mode, outcome] of [
  ['observe', Outcome.FAILED],
  ['permissive', Outcome.FAILED],
  ['enforce', Outcome.REFUSED],
] as const) {
  test(`in ${mode}, an endpoint has so many connections; one more is closed unread, counted, and gets in when another left`, async () => {
    const { lab, origin, shop, port } = await openLab(mode, { maximumConnections: 3 });
    await using _ = lab;
    const open = await begin(lab, port, 3);
    for (let call = 0; call < 4; call++) assert.equal((await callOverTls(port, shop)).text, '');
    assert.equal(limited(lab, outcome), 4);
    assert.equal(origin.requests.length, 0);
    const lines = lab.log.filter(({ event }) => event === 'connections refused');
    assert.deepEqual([lines.length, lines[0]!.fields['reason']], [1, 'limit-exceeded']);
    open[0]!.destroy();
    while ((await callOverTls(port, shop)).text === '') await new Promise(setImmediate);
    assert.equal(origin.requests.length, 1);
  });
}

test('an address has so many handshakes half open; who has finished one counts no more', async () => {
  const { lab, origin, shop, port } = await openLab('enforce', { handshakesPerAddress: 2 });
  await using _ = lab;
  const finished: TLSSocket[] = [];
  lab.onClose(() => finished.forEach((socket) => socket.destroy()));
  for (let at = 0; at < 5; at++) {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...shop });
    finished.push(socket.on('error', () => {}));
    await once(socket, 'secureConnect');
  }
  const [half] = await begin(lab, port, 2, '\x16');
  for (let call = 0; call < 3; call++) assert.equal((await callOverTls(port, shop)).text, '');
  assert.equal(limited(lab, Outcome.REFUSED), 3);
  half!.destroy();
  while ((await callOverTls(port, shop)).text === '') await new Promise(setImmediate);
  assert.equal(origin.requests.length, 1);
});

const from = (host: string): string => `PROXY TCP4 ${host} 127.0.0.1 1000 443\r\n`;

test('whom a balancer speaks for is counted by his own address, not by the balancer’s', async () => {
  const { lab, port } = await openLab('observe', { handshakesPerAddress: 1, proxyProtocolFrom: ['127.0.0.1/32'] });
  await using _ = lab;
  await begin(lab, port, 1, `${from('192.0.2.1')}\x16`);
  assert.match(await callInClear(port, from('192.0.2.2') + requestText()), /^HTTP\/1\.1 200 /);
  while ((await callInClear(port, from('192.0.2.1') + requestText())) !== '') await new Promise(setImmediate);
  assert.ok(limited(lab, Outcome.FAILED) > 0);
});

test('what passes through begins so often from one address, too', async () => {
  await using lab = new ProxyLab();
  const { port: behind } = await tcpOrigin(lab, (socket) => socket.end());
  const passes = { termination: Termination.PASSTHROUGH, takesUnknown: true, handshakesPerAddress: 1, protocol: Protocol.UNSPECIFIED };
  await lab.apply({ inbound: [inboundTo(behind, 'enforce', passes)] });
  await begin(lab, lab.portOf(0), 1, '\x16');
  await callInClear(lab.portOf(0), '\x16');
  assert.equal(limited(lab, Outcome.REFUSED), 1);
});

const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n${fields}\r\n${body}`;
const chunks = (count: number): string => `3e8\r\n${'x'.repeat(1_000)}\r\n`.repeat(count);
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

test('a body that says that it is too long is answered with 413 before it is read, over a connection that ends', async () => {
  const { lab, origin, shop, port } = await openLab('enforce', { maximumBodyOctets: 100_000n });
  await using _ = lab;
  for (const [fields, body] of [
    ['Content-Length: 100001\r\n', ''],
    ['Content-Length: 100001\r\nExpect: 100-continue\r\n', ''],
    ['Content-Length: 1000000000000\r\n', 'x'],
  ] as const) {
    assert.match(
      (await callOverTls(port, shop, post(fields, body))).text,
      /^HTTP\/1\.1 413 Content Too Large\r\n[^]*Connection: close\r\n\r\n$/,
      fields,
    );
  }
  assert.equal(origin.octets, 0);
  assert.deepEqual(new Set(lab.refusals().map(({ reason }) => reason)), new Set(['body-too-large']));
  const whole = await callOverTls(port, shop, post('Content-Length: 100000\r\n', 'x'.repeat(100_000)));
  assert.match(whole.text, /^HTTP\/1\.1 200 [^]*100000$/);
});

test('a body in chunks is cut where it is too long: its caller gets 413, the service a broken request, and others are served', async () => {
  const { lab, origin, shop, port } = await openLab('enforce', { maximumBodyOctets: 100_000n });
  await using _ = lab;
  const broken: string[] = [];
  origin.server.on('request', (request, response) => {
    request.on('end', () => broken.push('whole'));
    response.on('close', () => broken.push(response.writableFinished ? 'answered' : 'cut'));
  });
  const cut = new Promise<void>((resolve) => origin.server.once('connection', (socket: Socket) => socket.once('close', () => resolve())));
  const { text } = await callOverTls(port, shop, post(CHUNKED, chunks(101)));
  assert.match(text, /^HTTP\/1\.1 413 [^]*Connection: close\r\n\r\n$/);
  await cut;
  assert.ok(!broken.includes('whole') && !broken.includes('answered'));
  const calls = lab.proxy.takeReport().counts!.filter(({ reason }) => reason === 'body-too-large');
  assert.deepEqual([calls.length, calls[0]!.outcome, calls[0]!.count], [1, Outcome.REFUSED, 1n]);
  const { text: good } = await callOverTls(port, shop, post(CHUNKED, `${chunks(100)}0\r\n\r\n`));
  assert.match(good, /^HTTP\/1\.1 200 [^]*100000/);
});

test('an answer that has begun is cut off when the body of its call grows too long', async () => {
  await using lab = new ProxyLab();
  const { port: behind } = await tcpOrigin(lab, (socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')),
  );
  await lab.apply({ inbound: [inboundTo(behind, 'enforce', { maximumBodyOctets: 2_000n })] });
  const shop = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const socket = connectTls({ host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, ...shop });
  socket.on('error', () => {});
  socket.write(post(CHUNKED, chunks(1)));
  const [first] = (await once(socket, 'data')) as [Buffer];
  assert.match(String(first), /^HTTP\/1\.1 200 [^]*half$/);
  socket.write(chunks(2));
  let rest = '';
  socket.on('data', (octets: Buffer) => (rest += String(octets)));
  await once(socket, 'close');
  assert.equal(rest, '');
});

for (const mode of ['observe', 'permissive'] as const) {
  test(`in ${mode} a body that is too long passes, with a length and without, and is counted as one that would be refused`, async () => {
    const { lab, port, shop } = await openLab(mode, { maximumBodyOctets: 1_000n });
    await using _ = lab;
    assert.match((await callOverTls(port, shop, post('Content-Length: 2000\r\n', 'x'.repeat(2_000)))).text, /^HTTP\/1\.1 200 [^]*2000$/);
    assert.match((await callOverTls(port, shop, post(CHUNKED, `${chunks(3)}0\r\n\r\n`))).text, /^HTTP\/1\.1 200 [^]*3000/);
    const counted = lab.proxy.takeReport().counts!.filter(({ reason }) => reason === 'body-too-large');
    assert.deepEqual(
      counted.map(({ outcome, count }) => [outcome, count]),
      [[Outcome.WOULD_REFUSE, 2n]],
    );
  });
}

function post2(session: ClientHttp2Session, body: Buffer | null, more: IncomingHttpHeaders = {}) {
  const { promise, resolve } = Promise.withResolvers<{ readonly status: number | undefined; readonly text: string }>();
  const stream = session.request({ ':method': 'POST', ':path': '/', ...more });
  let [status, text]: [number | undefined, string] = [undefined, ''];
  stream.on('response', (headers) => {
    status = headers[':status'];
    if (body === null) stream.close();
  });
  stream.on('data', (chunk: Buffer) => (text += String(chunk))).on('error', () => {});
  stream.on('close', () => resolve({ status, text }));
  if (body === null) stream.write('x');
  else stream.end(body);
  return promise;
}

test('over HTTP/2 a long body is 413 with a length and without, the service sees no whole one, and other streams go on', async () => {
  const { lab, origin, shop, port } = await openLab('enforce', { maximumBodyOctets: 100_000n });
  await using _ = lab;
  const whole: unknown[] = [];
  origin.server.on('request', (request) => request.on('end', () => whole.push(request.url)));
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...shop });
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  assert.equal((await post2(session, null, { 'content-length': '100001' })).status, 413);
  assert.equal((await post2(session, Buffer.alloc(300_000))).status, 413);
  assert.deepEqual(whole, []);
  assert.deepEqual(await post2(session, Buffer.alloc(100_000)), { status: 200, text: '100000' });
  assert.deepEqual(lab.refusals().map(({ reason, octetsForwarded }) => [reason, octetsForwarded > 0n]).length, 2);
});

for (const [name, flags] of [
  ['HTTP/1.1, with a length', ['--http1.1']],
  ['HTTP/1.1, in chunks', ['--http1.1', '-H', 'Transfer-Encoding: chunked']],
  ['HTTP/2', ['--http2']],
] as const) {
  test(`curl is told 413 over ${name}`, { skip: missing('curl') }, async () => {
    const { lab, port, shop } = await openLab('enforce', { maximumBodyOctets: 50_000n });
    await using _ = lab;
    await using files = await makeFiles();
    const cert = await files.write('cert.pem', String(shop.cert));
    const key = await files.write('key.pem', String(shop.key));
    const body = await files.write('body', 'x'.repeat(2_000_000));
    const args = ['-sk', '-o', '/dev/null', '-w', '%{http_code}', ...flags, '--cert', cert, '--key', key, '--data-binary', `@${body}`];
    const { stdout } = await runProgram('curl', [...args, `https://127.0.0.1:${port}/`]);
    assert.equal(stdout, '413');
  });
}
