import assert from 'node:assert/strict';
import { createServer, request, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type OutboundSchema, Origination, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { inboundTo, ORDERS, outboundTo, ProxyLab, STOREFRONT } from '../../../test/support/proxy-lab.ts';

/** Replicas in the clear, each spoken for by a function, behind the outbound port of a proxy. */
async function openLab(speakers: readonly ((socket: Socket) => void)[], more: MessageInitShape<typeof OutboundSchema>) {
  const lab = new ProxyLab();
  const sockets = new Set<Socket>();
  const servers = speakers.map((speak) =>
    createTcpServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
      speak(socket);
    }),
  );
  for (const server of servers) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  });
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  const answer = await lab.apply({ outbound: [outboundTo(ports, Origination.PLAINTEXT, more)] });
  assert.equal(answer.kind, 'accepted');
  return { lab, servers, port: lab.portOf(0) };
}

type Speaker = { readonly speak: (socket: Socket) => void; readonly seen: string[] };

/** Answers each read, or hangs up without an octet. */
function speaker(answer: () => string | null): Speaker {
  const seen: string[] = [];
  const speak = (socket: Socket): void =>
    void socket.on('data', (octets: Buffer) => {
      seen.push(String(octets).split(' HTTP/')[0]!);
      const text = answer();
      if (text === null) socket.destroy();
      else socket.write(text);
    });
  return { speak, seen };
}

const ok = (body = 'ok'): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const RETRIES = { percent: 100, minimumPerSecond: 100 };

function call(port: number, method = 'GET', body: string | null = null, path = '/'): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const headers = body === null ? {} : { 'Content-Length': body.length };
  const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
    response.resume().on('error', () => resolve(-1));
    response.on('end', () => resolve(response.statusCode!));
  });
  asked.on('error', reject);
  asked.end(body ?? undefined);
  return promise;
}

const events = (lab: ProxyLab): Readonly<Record<string, number>> =>
  Object.fromEntries((lab.proxy.takeReport().replicas ?? []).map(({ event, count }) => [event, Number(count)]));

for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
  test(`a ${method} whose connection ended before an octet of the answer goes to another replica`, async () => {
    const dead = speaker(() => null);
    const alive = speaker(() => ok(method === 'HEAD' ? '' : 'ok'));
    const { lab, port } = await openLab([dead.speak, alive.speak], { retries: RETRIES });
    await using _ = lab;
    assert.equal(await call(port, method), 200);
    assert.deepEqual([dead.seen.length, alive.seen.length], [1, 1]);
    const { counts = [], replicas = [] } = lab.proxy.takeReport();
    assert.deepEqual(
      replicas.map(({ event, count }) => [event, count]),
      [['retry', 1n]],
    );
    assert.deepEqual(
      counts.filter(({ unit }) => unit === Unit.CALL).map(({ outcome, count }) => [outcome, count]),
      [[Outcome.ACCEPTED, 1n]],
    );
  });
}

for (const [what, method, body, answer] of [
  ['a POST', 'POST', null, () => null],
  ['a PATCH', 'PATCH', null, () => null],
  ['a PUT with a body', 'PUT', 'card=4111', () => null],
  ['a DELETE with a body', 'DELETE', 'x', () => null],
  ['a GET whose answer had begun with an octet', 'GET', null, () => 'H'],
  ['a GET whose answer is none', 'GET', null, () => 'ICY 200 OK\r\n\r\n'],
  ['a GET that was answered with 100', 'GET', null, () => 'HTTP/1.1 100 Continue\r\n\r\n'],
  [
    'a GET that was answered with 503',
    'GET',
    null,
    () => 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  ],
] as const) {
  test(`${what} is never sent again`, async () => {
    const seen: string[] = [];
    const speak = (socket: Socket): void =>
      void socket.once('data', () => {
        seen.push('call');
        const text = answer();
        if (text === null) socket.destroy();
        else socket.end(text);
      });
    const { lab, port } = await openLab([speak, speak], { retries: RETRIES });
    await using _ = lab;
    assert.ok([502, 503].includes(await call(port, method, body)));
    assert.equal(seen.length, 1);
    assert.deepEqual(events(lab), {});
  });
}

test('without a budget nothing is sent again, and none is tried more than three times', async () => {
  const dead = speaker(() => null);
  const { lab, port } = await openLab([dead.speak, dead.speak], {});
  await using _ = lab;
  assert.equal(await call(port), 502);
  assert.equal(dead.seen.length, 1);
  const { lab: other, port: otherPort } = await openLab([dead.speak, dead.speak], { retries: RETRIES });
  await using __ = other;
  assert.equal(await call(otherPort), 502);
  assert.equal(dead.seen.length, 1 + 3);
});

test('where all fail, retries are the share of calls that the budget gives, and the rest is denied', async () => {
  const dead = speaker(() => null);
  const { lab, port } = await openLab([dead.speak], { retries: { percent: 20, minimumPerSecond: 0 } });
  await using _ = lab;
  for (let at = 0; at < 50; at++) assert.equal(await call(port), 502);
  const { retry = 0, 'retry-denied': denied = 0 } = events(lab);
  // Retries are calls, too, of which a fifth may be sent again.
  assert.ok(retry >= 9 && retry <= 13, `${retry} of 50`);
  assert.equal(dead.seen.length, 50 + retry);
  assert.ok(denied >= 37, String(denied));
});

test('a replica whose calls fail with 5xx is left out, one of two stays whatever it answers, and both come back', async () => {
  let status = 503;
  const sick = speaker(() => `HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
  const well = speaker(() => ok());
  const { lab, port } = await openLab([sick.speak, well.speak], { ejection: { failures: 2, baseMs: 100, maximumPercent: 50 } });
  await using _ = lab;
  const statuses = new Map<number, number>();
  for (let at = 0; at < 10; at++) {
    const answered = await call(port);
    statuses.set(answered, (statuses.get(answered) ?? 0) + 1);
  }
  assert.deepEqual([statuses.get(503), statuses.get(200)], [2, 8]);
  status = 200;
  while (!lab.log.some(({ event }) => event === 'replica returned')) await new Promise(setImmediate);
  const before = sick.seen.length;
  for (let at = 0; at < 4; at++) assert.equal(await call(port), 200);
  assert.equal(sick.seen.length, before + 2);
  const { ejected, returned } = events(lab);
  assert.deepEqual([ejected, returned], [1, 1]);
  const line = lab.log.find(({ event }) => event === 'replica ejected');
  assert.match(String(line!.fields['address']), /^127\.0\.0\.1:\d+$/);
});

test('a replica that takes no connections is left out; who leaves early makes nobody sick', async () => {
  const well = speaker(() => ok());
  const away = speaker(() => ok());
  const { lab, port, servers } = await openLab([away.speak, well.speak], { ejection: { failures: 2, baseMs: 60_000, maximumPercent: 50 } });
  await using _ = lab;
  await new Promise((resolve) => servers[0]!.close(resolve));
  for (let at = 0; at < 40; at++) assert.equal(await call(port), 200);
  assert.equal(well.seen.length, 40);
  const slow = speaker(() => '');
  const patient = await openLab([slow.speak, slow.speak], { ejection: { failures: 1, baseMs: 60_000, maximumPercent: 100 } });
  await using __ = patient.lab;
  const asked = request({ host: '127.0.0.1', port: patient.port, agent: false });
  asked.on('error', () => {}).end();
  while (slow.seen.length === 0) await new Promise(setImmediate);
  asked.destroy();
  await patient.lab.proxy.stop(0);
  assert.deepEqual(events(patient.lab), {});
});

const CHECK = { intervalMs: 50, timeoutMs: 40, healthyAfter: 1, unhealthyAfter: 2, panicPercent: 0 };
const said =
  (lab: ProxyLab, event: string) =>
  async (times = 1) => {
    while (lab.log.filter((line) => line.event === event).length < times) await new Promise((resolve) => setTimeout(resolve, 5));
  };

/** A service of which one can say how it answers the question after its health, behind a receiver's proxy in enforce. */
async function openReplica(authority: ProxyLab['authority'], answer: RequestListener) {
  const seen: { readonly url: string; readonly caller: string }[] = [];
  const service = createServer((incoming, response) => {
    seen.push({ url: incoming.url!, caller: String(incoming.headers['x-forwarded-client-cert']) });
    answer(incoming, response);
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const lab = new ProxyLab(ORDERS, authority);
  lab.onClose(() => {
    service.close();
    service.closeAllConnections();
  });
  await lab.apply({ inbound: [inboundTo((service.address() as AddressInfo).port, 'enforce')] });
  return { lab, seen, port: lab.portOf(0) };
}

test('over mutual TLS a replica whose health is bad is called no more until it is well, by the callers’ own identity', async () => {
  const caller = new ProxyLab(STOREFRONT);
  await using _ = caller;
  let status = 204;
  const first = await openReplica(caller.authority, (incoming, response) =>
    response.writeHead(incoming.url === '/healthz' ? status : 200).end(),
  );
  await using __ = first.lab;
  const second = await openReplica(caller.authority, (_incoming, response) => response.writeHead(200).end());
  await using ___ = second.lab;
  const healthCheck = { ...CHECK, timeoutMs: 5_000, path: '/healthz' };
  await caller.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([first.port, second.port], Origination.MTLS, { healthCheck })] });
  while (first.seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(first.seen[0]!.url, '/healthz');
  assert.match(first.seen[0]!.caller, /URI=spiffe:\/\/acme\.example\/test\/storefront/);
  for (const sick of [500, 302, 404]) {
    status = sick;
    const before = caller.log.filter(({ event }) => event === 'replica unhealthy').length;
    await said(caller, 'replica unhealthy')(before + 1);
    const calls = first.seen.filter(({ url }) => url === '/work').length;
    for (let at = 0; at < 4; at++) assert.equal(await call(caller.portOf(0), 'GET', null, '/work'), 200);
    assert.equal(first.seen.filter(({ url }) => url === '/work').length, calls, String(sick));
    status = 200;
    await said(caller, 'replica healthy')(before + 1);
  }
  for (let at = 0; at < 4; at++) assert.equal(await call(caller.portOf(0), 'GET', null, '/work'), 200);
  assert.ok(first.seen.some(({ url }) => url === '/work'));
});

test('a renewed certificate makes no replica well that is ill', async () => {
  const caller = new ProxyLab(STOREFRONT);
  await using _ = caller;
  const ill = await openReplica(caller.authority, (_incoming, response) => response.writeHead(500).end());
  await using __ = ill.lab;
  const well = await openReplica(caller.authority, (_incoming, response) => response.writeHead(200).end());
  await using ___ = well.lab;
  // Asked seldom after the first time, so that what is known was not found out anew.
  const healthCheck = { ...CHECK, intervalMs: 600_000, timeoutMs: 10_000, unhealthyAfter: 1, path: '/healthz' };
  await caller.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([ill.port, well.port], Origination.MTLS, { healthCheck })] });
  await said(caller, 'replica unhealthy')();
  const renewed = caller.authority.issue({ uris: [STOREFRONT] });
  await caller.proxy.applyIdentity({ spiffeId: STOREFRONT, chain: renewed.chain, privateKey: renewed.key });
  for (let at = 0; at < 6; at++) assert.equal(await call(caller.portOf(0), 'GET', null, '/work'), 200);
  assert.equal(ill.seen.filter(({ url }) => url === '/work').length, 0);
});

test('a server that is not who it should be is never asked, and is ill', async () => {
  const caller = new ProxyLab(STOREFRONT);
  await using _ = caller;
  const other = new ProxyLab(ORDERS);
  await using __ = other;
  const origin = await other.origin();
  await other.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  await caller.apply({
    spiffeId: STOREFRONT,
    outbound: [
      outboundTo([other.portOf(0), other.portOf(0)], Origination.MTLS, { healthCheck: { ...CHECK, timeoutMs: 5_000, path: '/' } }),
    ],
  });
  await said(caller, 'replica unhealthy')(2);
  assert.equal(origin.octets, 0);
  assert.equal(await call(caller.portOf(0)), 502);
});

for (const [what, speak] of [
  ['says nothing', () => {}],
  ['hangs up', (socket: Socket) => socket.destroy()],
  ['answers no HTTP', (socket: Socket) => socket.end('hello\r\n')],
  ['never ends its head', (socket: Socket) => void socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`))],
] as const) {
  test(`a replica that ${what} is ill`, async () => {
    const { lab } = await openLab([speak, speaker(() => ok()).speak], { healthCheck: { ...CHECK, path: '/' } });
    await using _ = lab;
    await said(lab, 'replica unhealthy')();
    assert.equal(lab.log.filter(({ event }) => event === 'replica unhealthy').length, 1);
  });
}

test('where nothing but a connection is asked for, it is enough, and nothing is said over it', async () => {
  const connections: string[] = [];
  const speak = (socket: Socket): void => {
    connections.push('');
    socket.on('data', (octets: Buffer) => (connections[connections.length - 1] += String(octets)));
  };
  const { lab, servers } = await openLab([speak, speak], { protocol: Protocol.TCP, healthCheck: CHECK });
  await using _ = lab;
  while (connections.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(new Set(connections), new Set(['']));
  await new Promise((resolve) => servers[0]!.close(resolve));
  await said(lab, 'replica unhealthy')();
});

test('no replica is asked where nothing is declared, and none after the settings are gone', async () => {
  const connections: Socket[] = [];
  const count = (socket: Socket): void => void connections.push(socket);
  const { lab } = await openLab([count], { ejection: { failures: 1, baseMs: 50, maximumPercent: 100 } });
  await using _ = lab;
  const checked = await openLab([count], { healthCheck: CHECK });
  await using __ = checked.lab;
  while (connections.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await checked.lab.apply({});
  connections.length = 0;
  const other = await openLab([count], { protocol: Protocol.TCP, healthCheck: { ...CHECK, intervalMs: 20 } });
  await using ___ = other.lab;
  while (connections.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(checked.lab.log.filter(({ event }) => event.startsWith('replica')).length <= 1, true);
});

for (const healthCheck of [
  { ...CHECK, intervalMs: 0 },
  { ...CHECK, healthyAfter: 0 },
  { ...CHECK, unhealthyAfter: 0 },
  { ...CHECK, path: 'no path' },
  { ...CHECK, path: '/a\r\nHost: b' },
]) {
  test(`settings with ${JSON.stringify(healthCheck)} are refused`, async () => {
    await using lab = new ProxyLab();
    const answer = await lab.apply({ outbound: [outboundTo([1], Origination.PLAINTEXT, { healthCheck })] });
    assert.equal(answer.kind, 'refused');
  });
}
