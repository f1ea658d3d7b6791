import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  type Origin,
  ProxyLab,
  STOREFRONT,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';

const MANY = 200;
/** Both ends of a connection live in this process; what is bounded is the head, twice while it grows, and the two sockets. */
const MAXIMUM_OCTETS_EACH = 150_000;

async function openLab(mode: 'observe' | 'enforce'): Promise<{ lab: ProxyLab; origin: Origin; port: number }> {
  const lab = new ProxyLab();
  const origin = await lab.origin(
    (request, response) => void request.resume().on('end', () => response.setHeader('Content-Length', 2).end('ok')),
  );
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(origin.port, mode)] });
  return { lab, origin, port: lab.portOf(0) };
}

async function openMany(lab: ProxyLab, port: number, octets: () => Buffer): Promise<Socket[]> {
  const sockets = Array.from({ length: MANY }, () => connect(port, '127.0.0.1'));
  lab.onClose(() => sockets.forEach((socket) => socket.destroy()));
  await Promise.all(
    sockets.map(async (socket) => {
      socket.on('error', () => {});
      await once(socket, 'connect');
      await new Promise((resolve) => socket.write(octets(), resolve));
    }),
  );
  return sockets;
}

function closed(sockets: readonly Socket[]): Promise<unknown> {
  return Promise.all(sockets.map((socket) => (socket.destroyed ? null : once(socket.resume(), 'close'))));
}

function heldOctets(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

for (const [name, octets] of [
  ['heads of 16 kB that do not end', () => Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(16_384)}`)],
  ['bodies of 16 kB that do not end', () => Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\n\r\n${'a'.repeat(8_000)}`)],
] as const) {
  test(`many ${name} take little memory and no connection to the service, and others are served`, async () => {
    const { lab, origin, port } = await openLab('observe');
    await using _ = lab;
    await callInClear(port);
    const [before, octetsBefore] = [heldOctets(), origin.octets];
    await openMany(lab, port, octets);
    assert.match(await callInClear(port), /^HTTP\/1\.1 200 /);
    assert.equal(origin.octets, 2 * octetsBefore, 'nothing of them went on');
    assert.ok(heldOctets() - before < MANY * MAXIMUM_OCTETS_EACH, `${(heldOctets() - before) / MANY} octets each`);
  });
}

test('a head that comes an octet at a time takes no more memory than one that comes whole', async () => {
  const { lab, port } = await openLab('observe');
  await using _ = lab;
  const before = heldOctets();
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  for (const octet of `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(3_000)}`) await new Promise((resolve) => socket.write(octet, resolve));
  assert.ok(heldOctets() - before < 10_000_000);
  const answered = once(socket, 'data');
  socket.write('\r\n\r\n');
  assert.match(String((await answered)[0]), /^HTTP\/1\.1 200 /);
  socket.destroy();
});

for (const [name, octets, reason] of [
  ['handshakes that stop in the ClientHello', () => Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), 'timeout'],
  ['octets at random', () => Buffer.concat([Buffer.from([0x16, 3, 1, 0, 50, 9]), randomBytes(49)]), 'tls-malformed'],
  ['octets at random that look like nothing', () => Buffer.concat([Buffer.from([0x80]), randomBytes(120)]), 'plaintext'],
] as const) {
  test(`many ${name} are closed and reported within bounds, and others are served`, async () => {
    const { lab, origin, port } = await openLab('enforce');
    await using _ = lab;
    const sockets = await openMany(lab, port, octets);
    const good = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
    assert.match((await callOverTls(port, good)).text, /^HTTP\/1\.1 200 /);
    await closed(sockets);
    assert.equal(origin.requests.length, 1);
    const report = lab.proxy.takeReport();
    assert.deepEqual(new Set(report.refusals!.map((refusal) => refusal.reason)), new Set([reason]));
    assert.equal(report.refusals!.length + Number(report.refusalsDropped), MANY);
  });
}

test('handshakes that stop behind the ClientHello hold nobody up', async () => {
  const { lab, port } = await openLab('enforce');
  await using _ = lab;
  const good = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const hello = await clientHello();
  await openMany(lab, port, () => hello);
  assert.match((await callOverTls(port, good)).text, /^HTTP\/1\.1 200 /);
  assert.deepEqual(lab.refusals(), []);
});

/** The first flight of a real client. */
async function clientHello(): Promise<Buffer> {
  const [near, far] = duplexPair();
  const client = connectTls({ socket: near, rejectUnauthorized: false });
  client.on('error', () => {});
  const [hello] = (await once(far, 'data')) as [Buffer];
  client.destroy();
  return hello;
}

/** A service that begins a long answer at once and never ends it, and a caller that has sent `first`. */
async function openDuplex(first: string): Promise<{ readonly lab: ProxyLab; readonly socket: Socket; readonly freed: Promise<void> }> {
  const lab = new ProxyLab();
  const freed = Promise.withResolvers<void>();
  const { port } = await tcpOrigin(lab, (far) => {
    far.once('data', () => far.write(`HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n${'x'.repeat(16_000_000)}`));
    far.once('end', () => freed.resolve()).once('close', () => freed.resolve());
  });
  await lab.apply({ inbound: [inboundTo(port, 'observe')] });
  const socket = connect(lab.portOf(0), '127.0.0.1');
  socket.on('error', () => {});
  lab.onClose(() => socket.destroy());
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${first}`);
  await once(socket, 'readable');
  return { lab, socket, freed: freed.promise };
}

for (const [half, first] of [
  ['no octet', ''],
  ['half', '4\r\nhalf\r\n'],
] as const) {
  test(`who reads its answer and sends ${half} of its body holds no connection to the service for ever`, async () => {
    const { lab, socket, freed } = await openDuplex(first);
    await using _ = lab;
    socket.resume();
    await freed;
  });
}

test('who ends its body and does not read its answer holds none for ever, either', async () => {
  const { lab, socket, freed } = await openDuplex('4\r\nhalf\r\n');
  await using _ = lab;
  socket.write('0\r\n\r\n');
  await freed;
});

test('a call under way lives on behind a head that came in pieces and is malformed, and both are answered', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const asked = Promise.withResolvers<ServerResponse>();
  const origin = await lab.origin((_request, response) => asked.resolve(response));
  await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  const port = lab.portOf(0);
  const socket = connect(port, '127.0.0.1');
  lab.onClose(() => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n');
  const answer = await asked.promise;
  socket.write('Host : b\r\n\r\n');
  // Its time for a head began later, so when it is over that of the first one would be, too.
  await callInClear(port, 'GET / HTTP/1.1\r\n');
  answer.end('late');
  let text = '';
  for await (const octets of socket) text += String(octets);
  assert.match(text, /^HTTP\/1\.1 200 [^]*lateHTTP\/1\.1 400 /);
});
