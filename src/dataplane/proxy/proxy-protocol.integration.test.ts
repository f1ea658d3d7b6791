import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type InboundSchema, Protocol, ProxyProtocol, Termination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { readProxyHeader } from '../../core/proxy-protocol/read-proxy-header.ts';
import { writeV1Header, writeV2Header } from '../../core/proxy-protocol/write-proxy-header.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { makeFiles } from '../../../test/support/openssl.ts';
import { missing } from '../../../test/support/peer-program.ts';
import {
  callInClear,
  clientOptions,
  inboundTo,
  modes,
  ProxyLab,
  requestText,
  STOREFRONT,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';

const ENDS = { source: { host: '192.0.2.1', port: 56_324 }, destination: { host: '198.51.100.7', port: 443 } };
const REMOTE = '192.0.2.1:56324';
const LOOPBACK = ['127.0.0.0/8'];
const request = Buffer.from(requestText());
type More = MessageInitShape<typeof InboundSchema>;

async function open(
  mode: keyof typeof modes,
  more: More,
): Promise<{ readonly lab: ProxyLab; readonly port: number; readonly octets: () => number }> {
  const lab = new ProxyLab();
  const origin = await lab.origin();
  assert.deepEqual(await lab.apply({ inbound: [inboundTo(origin.port, mode, more)] }), { kind: 'accepted' });
  return { lab, port: lab.portOf(0), octets: () => origin.octets };
}

/** Mutual TLS after octets in the clear, as a balancer opens it. */
async function callBehind(port: number, header: Buffer, options: ConnectionOptions): Promise<string> {
  const raw = connect(port, '127.0.0.1');
  raw.on('error', () => {});
  raw.write(header);
  const socket = connectTls({ socket: raw, rejectUnauthorized: false, ...options });
  socket.on('error', () => {});
  socket.write(request);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

/** Where the log says that the refused connection came from. */
const refusedFrom = (lab: ProxyLab): unknown => lab.log.find(({ event }) => event === 'connection refused')?.fields['remote'];

for (const [name, header] of [
  ['1', writeV1Header(ENDS)],
  ['2', writeV2Header(ENDS, { alpn: 'h2', serverName: 'x.test', session: null })],
] as const) {
  test(`version ${name} from a declared balancer: who is behind it is served, and refused by its own address`, async () => {
    const { lab, port, octets } = await open('enforce', { proxyProtocolFrom: LOOPBACK });
    await using _ = lab;
    assert.match(await callBehind(port, header, clientOptions(lab.authority.issue({ uris: [STOREFRONT] }))), /200 OK/);
    const before = octets();
    assert.equal(await callInClear(port, Buffer.concat([header, request])), '');
    assert.equal(refusedFrom(lab), REMOTE);
    assert.equal(octets(), before);
    // What the prober and we call the connection by begins after the header, which the balancer added.
    assert.equal(lab.refusals()[0]!.reason, 'plaintext');
  });
}

test('a header may come octet by octet, and LOCAL speaks for the balancer itself', async () => {
  const { lab, port } = await open('observe', { proxyProtocolFrom: LOOPBACK });
  await using _ = lab;
  const local = writeV2Header(ENDS, null);
  local[12] = 0x20;
  // The checksum was over PROXY: cut it off.
  local.writeUInt16BE(12, 14);
  assert.match(await callInClear(port, Buffer.concat([local.subarray(0, 28), request])), /200 OK/);
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  for (const octet of Buffer.concat([writeV2Header(ENDS, null), request])) {
    await new Promise<void>((resolve) => socket.write(Buffer.of(octet), () => setImmediate(resolve)));
  }
  await once(socket, 'close');
  assert.match(text, /200 OK/);
});

describe('refused, and not an octet to the service:', () => {
  const changed = writeV2Header(ENDS, null);
  changed[17]! ^= 1;
  const bad: readonly (readonly [string, readonly string[], Buffer])[] = [
    ['no header where one is demanded', LOOPBACK, request],
    ['a line of another form', LOOPBACK, Buffer.concat([Buffer.from('PROXY TCP4 a b c d\r\n'), request])],
    ['a wrong checksum', LOOPBACK, Buffer.concat([changed, request])],
    ['half a header', LOOPBACK, writeV2Header(ENDS, null).subarray(0, 20)],
    ['nothing', LOOPBACK, Buffer.alloc(0)],
    ['a second header', LOOPBACK, Buffer.concat([writeV1Header(ENDS), writeV1Header(ENDS), request])],
    ['version 1 from a stranger', ['10.0.0.0/8', '::1/128'], Buffer.concat([writeV1Header(ENDS), request])],
    ['version 2 from a stranger', ['10.0.0.0/8'], Buffer.concat([writeV2Header(ENDS, null), request])],
    ['a broken header from a stranger', ['10.0.0.0/8'], Buffer.concat([Buffer.from('PROXY TCP4\r\n'), request])],
  ];
  for (const [name, proxyProtocolFrom, octets] of bad) {
    test(name, async () => {
      const { lab, port, octets: seen } = await open('observe', { proxyProtocolFrom: [...proxyProtocolFrom] });
      await using _ = lab;
      assert.doesNotMatch(await callInClear(port, octets), /200 OK/);
      assert.equal(seen(), 0);
      const { counts = [] } = lab.proxy.takeReport();
      const said = name === 'a second header' ? 'request-malformed' : 'proxy-header';
      assert.ok(
        counts.some(({ reason }) => reason === said),
        JSON.stringify(counts.map(({ reason }) => reason)),
      );
    });
  }
});

test('a header from a stranger never reaches a service of raw TCP; who sends none is served, and one that listens first as well', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  let got = '';
  const { port } = await tcpOrigin(lab, (socket) => {
    socket.write('hello ');
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1');
      socket.end('bye');
    });
  });
  await lab.apply({ inbound: [inboundTo(port, 'observe', { protocol: Protocol.TCP, proxyProtocolFrom: ['10.0.0.0/8'] })] });
  assert.equal(await callInClear(lab.portOf(0), Buffer.concat([writeV1Header(ENDS), Buffer.from('x')])), '');
  assert.equal(got, '');
  assert.match(await callInClear(lab.portOf(0), 'direct'), /bye/);
  assert.equal(got, 'direct');
  const silent = connect(lab.portOf(0), '127.0.0.1');
  silent.on('error', () => {});
  assert.equal(String(((await once(silent, 'data')) as [Buffer])[0]), 'hello ');
  silent.destroy();
});

/** What the service is sent first. */
async function headerAt(
  lab: ProxyLab,
  inbound: (port: number) => ReturnType<typeof inboundTo>,
  call: (port: number) => Promise<unknown>,
): Promise<Buffer> {
  const arrived = Promise.withResolvers<Buffer>();
  const { port } = await tcpOrigin(lab, (socket: Socket) => {
    let octets = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      octets = Buffer.concat([octets, chunk]);
      if (readProxyHeader(octets).kind === 'complete') {
        arrived.resolve(octets);
        socket.end('done');
      }
    });
  });
  assert.deepEqual(await lab.apply({ inbound: [inbound(port)] }), { kind: 'accepted' });
  await call(lab.portOf(0));
  // The call is over: what did not come by now never will.
  arrived.reject(new Error('the service was sent no header'));
  return arrived.promise;
}

test('a TCP service is told who calls: by its own address, or by that which the balancer told', async () => {
  for (const proxyProtocolTo of [ProxyProtocol.V1, ProxyProtocol.V2]) {
    await using lab = new ProxyLab();
    const settings = { protocol: Protocol.TCP, proxyProtocolTo };
    const own = readProxyHeader(
      await headerAt(
        lab,
        (port) => inboundTo(port, 'observe', settings),
        (port) => callInClear(port, 'x'),
      ),
    );
    assert.ok(own.kind === 'complete' && own.header.ends?.source.host === '127.0.0.1');
    assert.equal(own.header.ends?.destination.port, lab.portOf(0));
    const chained = await headerAt(
      lab,
      (port) => inboundTo(port, 'observe', { ...settings, proxyProtocolFrom: LOOPBACK }),
      (port) => callInClear(port, Buffer.concat([writeV2Header(ENDS, null), Buffer.from('x')])),
    );
    const told = readProxyHeader(chained);
    assert.ok(told.kind === 'complete');
    assert.deepEqual(told.header.ends, ENDS);
  }
});

test('version 2 tells a TCP service of the TLS that ended here', async () => {
  await using lab = new ProxyLab();
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const octets = await headerAt(
    lab,
    (port) => inboundTo(port, 'enforce', { protocol: Protocol.TCP, proxyProtocolTo: ProxyProtocol.V2 }),
    (port) => callBehind(port, Buffer.alloc(0), { ...caller, servername: 'ledger.test' }),
  );
  const text = octets.toString('latin1');
  assert.ok(text.includes('\x02\0\x0bledger.test'));
  // Over TLS, with a certificate, verified.
  assert.ok(text.includes('\x07\0\0\0\0\x21\0\x07TLSv1.3\x23'));
});

const passes = (port: number) =>
  inboundTo(port, 'observe', {
    termination: Termination.PASSTHROUGH,
    serverNames: ['a.test'],
    proxyProtocolFrom: LOOPBACK,
    proxyProtocolTo: ProxyProtocol.V2,
  });

test('an endpoint behind a passthrough is told the address and the name', async () => {
  await using lab = new ProxyLab();
  const octets = await headerAt(lab, passes, (port) => callBehind(port, writeV1Header(ENDS), { servername: 'a.test' }));
  const reading = readProxyHeader(octets);
  assert.ok(reading.kind === 'complete');
  assert.deepEqual(reading.header.ends, ENDS);
  assert.ok(octets.toString('latin1', 0, reading.length).includes('\x02\0\x06a.test'));
  assert.equal(octets[reading.length] ?? 0x16, 0x16, 'the ClientHello follows as it came');
  assert.equal(await callBehind(lab.portOf(0), writeV1Header(ENDS), { servername: 'b.test' }), '');
  assert.equal(refusedFrom(lab), REMOTE);
  assert.equal(await callBehind(lab.portOf(0), Buffer.alloc(0), { servername: 'a.test' }), '');
  const reasons = (lab.proxy.takeReport().counts ?? []).filter(({ outcome }) => outcome === Outcome.REFUSED).map(({ reason }) => reason);
  assert.deepEqual(reasons.toSorted(), ['proxy-header', 'unknown-server-name']);
});

test('settings are refused whose ranges are none, and headers on connections that calls share', async () => {
  await using lab = new ProxyLab();
  const bad: readonly More[] = [
    { proxyProtocolFrom: ['10.0.0.0'] },
    { proxyProtocolFrom: ['10.0.0.0/33'] },
    { proxyProtocolFrom: ['localhost/8'] },
    { proxyProtocolFrom: Array.from({ length: 101 }, (_, index) => `10.0.${index}.0/24`) },
    { proxyProtocolTo: ProxyProtocol.V2 },
    { protocol: Protocol.GRPC, proxyProtocolTo: ProxyProtocol.V1 },
    { protocol: Protocol.TCP, proxyProtocolTo: 9 as ProxyProtocol },
  ];
  for (const more of bad)
    assert.equal((await lab.apply({ inbound: [inboundTo(1, 'observe', more)] })).kind, 'refused', JSON.stringify(more));
});

test('HAProxy before us and behind us is understood, and understands', { skip: missing('haproxy') }, async () => {
  await using lab = new ProxyLab();
  await using files = await makeFiles();
  const [front, back] = [await freePort(), await freePort()];
  await lab.apply({
    inbound: [inboundTo(back, 'observe', { protocol: Protocol.TCP, proxyProtocolFrom: LOOPBACK, proxyProtocolTo: ProxyProtocol.V2 })],
  });
  const config = await files.write(
    'haproxy.cfg',
    `defaults
  mode tcp
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:${front}
  default_backend ours
backend ours
  server ours 127.0.0.1:${lab.portOf(0)} send-proxy-v2 proxy-v2-options crc32c,unique-id
frontend back
  mode http
  bind 127.0.0.1:${back} accept-proxy
  http-request return status 200 content-type text/plain lf-string "caller=%[src]:%[src_port]"
`,
  );
  const haproxy = spawn('haproxy', ['-db', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  lab.onClose(() => void haproxy.kill());
  let complaint = '';
  haproxy.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const socket = await connectUntilThere(front, () => haproxy.exitCode === null);
  assert.ok(socket !== null, complaint);
  const { localPort } = socket;
  socket.write(request);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(socket, 'close');
  assert.match(text, new RegExp(`caller=127\\.0\\.0\\.1:${localPort}\\b`), complaint);
});

/** The program listens some moments after it was started. */
async function connectUntilThere(port: number, isRunning: () => boolean): Promise<Socket | null> {
  while (isRunning()) {
    const socket = connect(port, '127.0.0.1');
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (connected) return socket;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return null;
}
