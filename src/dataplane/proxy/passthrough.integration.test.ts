import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Inbound, InboundSchema, Termination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Channel, Outcome, Side, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { connectInPieces, splitRecords } from '../../../test/support/cut-stream.ts';
import { pemOf, openTlsEndpoint, type Endpoint } from '../../../test/support/endpoints.ts';
import {
  callOverTls,
  clientOptions,
  inboundTo,
  loopback,
  ORDERS,
  ProxyLab,
  STOREFRONT,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';

const STOCK_ENDPOINT = 'endpoint_01j00000000000000000000001';

function carried(port: number, more: MessageInitShape<typeof InboundSchema> = {}): Inbound {
  return create(InboundSchema, {
    endpointId: 'endpoint_01j00000000000000000000000',
    endpointName: 'orders',
    listen: loopback(0),
    upstream: loopback(port),
    termination: Termination.PASSTHROUGH,
    serverNames: ['orders.acme.test'],
    drainMs: 300,
    ...more,
  } as MessageInitShape<typeof InboundSchema>);
}

const stock = (port: number, more: MessageInitShape<typeof InboundSchema> = {}): Inbound =>
  carried(port, { endpointId: STOCK_ENDPOINT, endpointName: 'stock', serverNames: ['*.stock.acme.test'], ...more });

/** A TLS server that answers with its own name. */
function serve(lab: ProxyLab, name: string): Promise<Endpoint> {
  return openTlsEndpoint(pemOf(lab.authority.issue({ dnsNames: [name] })), name);
}

/** What a client is answered under this name; empty if it is refused. */
async function ask(port: number, servername: string, options: ConnectionOptions = {}): Promise<string> {
  return (await callOverTls(port, { servername, ...options })).text;
}

/** Sends octets and resolves with how many came back before the close. */
async function sendRaw(port: number, octets: Buffer): Promise<number> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.end(octets);
  socket.resume();
  await once(socket, 'close');
  return socket.bytesRead;
}

/** The first flight of a real client, as octets. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const lab = new ProxyLab();
  await using _ = lab;
  const arrived = Promise.withResolvers<Buffer>();
  const { port } = await tcpOrigin(lab, (socket) => socket.once('data', (chunk: Buffer) => arrived.resolve(chunk)));
  const client = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  client.on('error', () => {});
  const hello = await arrived.promise;
  client.destroy();
  return hello;
}

test('one port takes several endpoints apart by server name, exact before wildcard', async () => {
  await using lab = new ProxyLab();
  await using orders = await serve(lab, 'orders');
  await using any = await serve(lab, 'any');
  const inbound = [carried(orders.address.port, { serverNames: ['orders.acme.test', 'a.stock.acme.test'] }), stock(any.address.port)];
  assert.equal((await lab.apply({ inbound })).kind, 'accepted');
  const port = lab.portOf(0);
  for (const [name, expected] of [
    ['orders.acme.test', 'orders'],
    ['ORDERS.Acme.test', 'orders'],
    ['a.stock.acme.test', 'orders'],
    ['b.stock.acme.test', 'any'],
  ] as const) {
    assert.equal(await ask(port, name), expected, name);
  }
  const { counts = [] } = lab.proxy.takeReport();
  assert.deepEqual(
    counts.map(({ side, endpointId, channel, unit, outcome, caller, count }) => [side, endpointId, channel, unit, outcome, caller, count]),
    [
      [Side.RECEIVER, 'endpoint_01j00000000000000000000000', Channel.PASSTHROUGH, Unit.CONNECTION, Outcome.ACCEPTED, '', 3n],
      [Side.RECEIVER, STOCK_ENDPOINT, Channel.PASSTHROUGH, Unit.CONNECTION, Outcome.ACCEPTED, '', 1n],
    ],
  );
});

test('every octet goes through as it came, both ways, and each side ends for itself', async () => {
  await using lab = new ProxyLab();
  const hello = await helloOf({ servername: 'orders.acme.test' });
  const seen: Buffer[] = [];
  const { port } = await tcpOrigin(lab, (socket: Socket) => {
    socket.on('data', (chunk: Buffer) => seen.push(chunk));
    socket.on('end', () => socket.end(Buffer.alloc(100_000, 7)));
  });
  await lab.apply({ inbound: [carried(port)] });
  const sent = Buffer.concat([splitRecords(hello, 40), Buffer.alloc(50_000, 9)]);
  assert.equal(await sendRaw(lab.portOf(0), sent), 100_000);
  assert.ok(Buffer.concat(seen).equals(sent));
});

describe('a handshake ends well whose ClientHello', () => {
  const long = Array.from({ length: 80 }, (_, index) => String(index).padStart(250, 'x'));
  const cases: readonly (readonly [string, ConnectionOptions, number | null, number])[] = [
    ['comes octet by octet', {}, null, 1],
    ['has a key share of X25519MLKEM768 and comes in small segments', { ecdhCurve: 'X25519MLKEM768:X25519' }, null, 100],
    ['lies in records of 64 octets', {}, 64, 1_000],
    ['lies in records of 100 octets, each cut', { ecdhCurve: 'X25519MLKEM768' }, 100, 33],
    ['has 20 kB', { ALPNProtocols: long }, null, 1_400],
    ['has 20 kB, in records of 1,000 octets', { ALPNProtocols: long }, 1_000, 700],
  ];
  for (const [name, options, recordOctets, segmentOctets] of cases) {
    test(name, async () => {
      await using lab = new ProxyLab();
      await using orders = await serve(lab, 'orders');
      await lab.apply({ inbound: [carried(orders.address.port)] });
      const socket = connectInPieces(lab.portOf(0), { recordOctets, segmentOctets });
      const client = connectTls({ socket, servername: 'orders.acme.test', rejectUnauthorized: false, ...options });
      await once(client, 'secureConnect');
      client.write('x');
      const [answer] = (await once(client, 'data')) as [Buffer];
      assert.equal(answer.toString(), 'orders');
      client.destroy();
    });
  }
});

const named = (name: string) => async (): Promise<Buffer> => helloOf({ servername: name });

describe('refused without an octet to anybody:', () => {
  const bad: readonly (readonly [string, () => Promise<Buffer>, RefusalReason])[] = [
    ['no server name', () => helloOf({ servername: '' }), 'unknown-server-name'],
    ['an unknown name', named('payments.acme.test'), 'unknown-server-name'],
    ['two labels for a wildcard', named('a.b.stock.acme.test'), 'unknown-server-name'],
    ['the name behind a wildcard', named('stock.acme.test'), 'unknown-server-name'],
    ['a name that ends in a known one', named('xorders.acme.test'), 'unknown-server-name'],
    [
      'an encrypted hello under a strange outer name',
      async () => withEncryptedHello(await helloOf({ servername: 'outer.acme.test' })),
      'unknown-server-name',
    ],
    ['plaintext', async () => Buffer.from('GET / HTTP/1.1\r\nHost: orders.acme.test\r\n\r\n'), 'plaintext'],
    ['a record of another kind', async () => Buffer.from([23, 3, 3, 0, 1, 0]), 'plaintext'],
    ['half a hello', async () => (await helloOf({ servername: 'orders.acme.test' })).subarray(0, 100), 'tls-malformed'],
    ['a hello in crumbs', async () => splitRecords(await helloOf({ servername: 'orders.acme.test' }), 2), 'tls-malformed'],
    ['two names', async () => twoNames(await helloOf({ servername: 'orders.acme.test' })), 'tls-malformed'],
  ];
  for (const [name, make, reason] of bad) {
    test(name, async () => {
      await using lab = new ProxyLab();
      await using orders = await serve(lab, 'orders');
      const octets = await make();
      await lab.apply({ inbound: [carried(orders.address.port), stock(orders.address.port)] });
      assert.equal(await sendRaw(lab.portOf(0), octets), 0);
      const { counts = [], refusals } = lab.proxy.takeReport();
      assert.deepEqual(
        counts.map(({ channel, outcome, reason: said, count }) => [channel, outcome, said, count]),
        [[Channel.PASSTHROUGH, Outcome.REFUSED, reason, 1n]],
      );
      // Of a port that terminates nothing no refusal may pass for one of the endpoint's own.
      assert.deepEqual(refusals, []);
      assert.equal(orders.connections(), 0);
      assert.ok(lab.log.some(({ event, fields }) => event === 'connection refused' && fields['reason'] === reason));
    });
  }
});

test('a hello that is never finished is refused when its time is over', async () => {
  await using lab = new ProxyLab();
  await using orders = await serve(lab, 'orders');
  const hello = await helloOf({ servername: 'orders.acme.test' });
  await lab.apply({ inbound: [carried(orders.address.port)] });
  const socket = connect(lab.portOf(0), '127.0.0.1', () => socket.write(hello.subarray(0, 200)));
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'close');
  assert.equal(lab.proxy.takeReport().counts?.[0]?.reason, 'timeout');
  assert.equal(orders.connections(), 0);
});

test('what has no known name goes to the endpoint that takes such, plaintext does not', async () => {
  await using lab = new ProxyLab();
  await using orders = await serve(lab, 'orders');
  await using other = await serve(lab, 'other');
  await lab.apply({ inbound: [carried(orders.address.port), stock(other.address.port, { serverNames: [], takesUnknown: true })] });
  const port = lab.portOf(0);
  assert.deepEqual(
    [await ask(port, 'orders.acme.test'), await ask(port, 'else.acme.test'), await ask(port, '')],
    ['orders', 'other', 'other'],
  );
  assert.equal(await sendRaw(port, Buffer.from('GET / HTTP/1.0\r\n\r\n')), 0);
  assert.equal(other.connections(), 2);
});

/** Opens a connection that stays. */
async function open(port: number, servername: string): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, servername, rejectUnauthorized: false });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

test('an endpoint has so many connections and no more, and another one its own', async () => {
  await using lab = new ProxyLab();
  await using orders = await serve(lab, 'orders');
  await lab.apply({ inbound: [carried(orders.address.port, { maximumConnections: 1 }), stock(orders.address.port)] });
  const port = lab.portOf(0);
  const first = await open(port, 'orders.acme.test');
  assert.equal(await ask(port, 'orders.acme.test'), '');
  assert.equal(await ask(port, 'a.stock.acme.test'), 'orders');
  const { counts = [], open: openNow = [] } = lab.proxy.takeReport();
  assert.ok(counts.some(({ outcome, reason }) => outcome === Outcome.REFUSED && reason === 'limit-exceeded'));
  assert.ok(openNow.some(({ channel, count }) => channel === Channel.PASSTHROUGH && count === 1));
  first.destroy();
  while ((await ask(port, 'orders.acme.test')) === '') await new Promise(setImmediate);
});

test('a connection on which nothing moves is closed, one that speaks is not', async () => {
  await using lab = new ProxyLab();
  const { port } = await tcpOrigin(lab, (socket) => socket.on('data', () => socket.write('.')));
  const hello = await helloOf({ servername: 'orders.acme.test' });
  await lab.apply({ inbound: [carried(port, { idleMs: 250 })] });
  const socket = connect(lab.portOf(0), '127.0.0.1', () => socket.write(hello));
  socket.on('error', () => {});
  let rounds = 0;
  const begun = performance.now();
  socket.on('data', () => (rounds += 1) < 8 && setTimeout(() => socket.write('x'), 60));
  await once(socket, 'close');
  assert.equal(rounds, 8);
  assert.ok(performance.now() - begun > 8 * 60);
});

test('connections of an endpoint that is gone end, the others stay', async () => {
  await using lab = new ProxyLab();
  await using orders = await serve(lab, 'orders');
  await lab.apply({ inbound: [carried(orders.address.port), stock(orders.address.port)] });
  const port = lab.portOf(0);
  const [stays, goes] = [await open(port, 'orders.acme.test'), await open(port, 'a.stock.acme.test')];
  const closed = once(goes, 'close');
  await lab.apply({ inbound: [carried(orders.address.port, { serverNames: ['orders.acme.test', 'new.acme.test'] })] });
  await closed;
  assert.equal(await ask(port, 'a.stock.acme.test'), '');
  assert.equal(await ask(port, 'new.acme.test'), 'orders');
  stays.write('x');
  assert.equal(String(((await once(stays, 'data')) as [Buffer])[0]), 'orders');
});

test('an upstream that is away is a failure of the connection', async () => {
  await using lab = new ProxyLab();
  const away = await tcpOrigin(lab, () => {});
  away.server.close();
  await once(away.server, 'close');
  await lab.apply({ inbound: [carried(away.port)] });
  assert.equal(await ask(lab.portOf(0), 'orders.acme.test'), '');
  const { counts = [] } = lab.proxy.takeReport();
  assert.deepEqual(
    counts.map(({ outcome, reason }) => [outcome, reason]),
    [
      [Outcome.ACCEPTED, ''],
      [Outcome.FAILED, 'upstream-unreachable'],
    ],
  );
});

test("mutual: through the gateway the caller's certificate reaches the service's own sidecar, and nobody gets in without one", async () => {
  await using sidecar = new ProxyLab(ORDERS);
  await using gateway = new ProxyLab(STOREFRONT);
  const origin = await sidecar.origin();
  await sidecar.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const inbound = [carried(sidecar.portOf(0), { termination: Termination.MUTUAL })];
  assert.equal((await gateway.apply({ inbound, spiffeId: STOREFRONT })).kind, 'accepted');
  const port = gateway.portOf(0);
  const caller = clientOptions(sidecar.authority.issue({ uris: [STOREFRONT] }));
  assert.match(await ask(port, 'orders.acme.test', caller), new RegExp(`200 OK[^]*${STOREFRONT}`));
  assert.equal(origin.requests.length, 1);
  // A certificate of the gateway's own authority is a stranger's here: nothing of the gateway's stands in for the caller.
  const stranger = clientOptions(gateway.authority.issue({ uris: [STOREFRONT] }));
  for (const options of [{}, stranger]) assert.equal(await ask(port, 'orders.acme.test', options), '');
  assert.equal(origin.requests.length, 1);
  assert.deepEqual(
    sidecar
      .refusals()
      .map(({ reason }) => reason)
      .toSorted(),
    ['no-certificate', 'unknown-authority'],
  );
  assert.deepEqual(gateway.refusals(), []);
});

/** Puts an extension at the end of a hello that lies in one record. */
function withExtension(hello: Buffer, type: number, body: Buffer): Buffer {
  const extension = Buffer.concat([Buffer.of(type >> 8, type & 255, body.length >> 8, body.length & 255), body]);
  const grown = Buffer.concat([hello, extension]);
  grown.writeUInt16BE(hello.readUInt16BE(3) + extension.length, 3);
  grown.writeUIntBE(hello.readUIntBE(6, 3) + extension.length, 6, 3);
  const at = extensionsAt(hello);
  grown.writeUInt16BE(hello.readUInt16BE(at) + extension.length, at);
  return grown;
}

function withEncryptedHello(hello: Buffer): Buffer {
  return withExtension(hello, 0xfe0d, Buffer.concat([Buffer.of(0, 0, 1, 0, 1, 7, 0, 0, 0, 4), Buffer.alloc(4)]));
}

function twoNames(hello: Buffer): Buffer {
  return withExtension(hello, 0, Buffer.from('000f00000c6f74686572732e74657374', 'hex'));
}

/** Past record and message header, version, random, session id, suites and compression methods. */
function extensionsAt(hello: Buffer): number {
  let at = 9 + 2 + 32;
  at += 1 + hello[at]!;
  at += 2 + hello.readUInt16BE(at);
  return at + 1 + hello[at]!;
}
