import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Origination, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { GRPC, grpcService } from '../../../test/support/grpc-lab.ts';
import {
  clientOptions,
  inboundTo,
  identityOf,
  loopback,
  ORDERS,
  outboundTo,
  ProxyLab,
  STOREFRONT,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';

/** Long enough for handshakes on a busy machine. */
const SOON_MS = 2_000;

async function connectAs(lab: ProxyLab, options: { readonly notAfter: number }): Promise<Socket> {
  const credential = lab.authority.issue({ uris: [STOREFRONT], ...options });
  const socket = connectTls({ host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, ...clientOptions(credential) });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

test('raw TCP does not outlive the certificate that its caller showed', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await tcpOrigin(lab, (socket) => void socket.pipe(socket));
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(port, 'enforce', { protocol: Protocol.TCP })] });
  const notAfter = Date.now() + SOON_MS;
  const socket = await connectAs(lab, { notAfter });
  socket.write('ping');
  assert.equal(String((await once(socket, 'data'))[0]), 'ping');
  await once(socket, 'close');
  assert.deepEqual(lab.refusals(), [], 'it was ended before there was anything to refuse');
});

test('a WebSocket does not outlive it either, and an idle HTTP connection neither', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const origin = await lab.origin();
  origin.server.on('upgrade', (_request, stream: Socket) => {
    lab.onClose(() => stream.destroy());
    stream.on('error', () => {});
    stream.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  });
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const notAfter = Date.now() + SOON_MS;
  const [idle, socket] = [await connectAs(lab, { notAfter }), await connectAs(lab, { notAfter })];
  socket.write('GET / HTTP/1.1\r\nHost: orders\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 101 /);
  await Promise.all([once(idle.resume(), 'close'), once(socket.resume(), 'close')]);
});

test('streams of HTTP/2 do not outlive it either, calls and WebSockets', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await grpcService(lab, { chat: (call) => void call.write(Buffer.from('open')) });
  const origin = await lab.origin();
  origin.server.on('upgrade', (request, stream: Socket) => {
    lab.onClose(() => stream.destroy());
    stream.on('error', () => {});
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    stream.write(`HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  });
  await lab.proxy.applyTrustBundle(lab.bundle());
  const listens = await Promise.all([freePort(), freePort()]);
  const [grpc, http] = [
    inboundTo(port, 'enforce', { ...GRPC, listen: loopback(listens[0]) }),
    inboundTo(origin.port, 'enforce', { listen: loopback(listens[1]) }),
  ];
  await lab.apply({ inbound: [grpc, http] });
  const credential = lab.authority.issue({ uris: [STOREFRONT], notAfter: Date.now() + SOON_MS });
  const open = async (at: number, headers: OutgoingHttpHeaders): Promise<void> => {
    const session = connectHttp2(`https://127.0.0.1:${at}`, { rejectUnauthorized: false, ...clientOptions(credential) });
    session.on('error', () => {});
    await once(session, 'remoteSettings');
    const stream = session.request(headers);
    stream.on('error', () => {});
    const [answer] = (await once(stream.resume(), 'response')) as [IncomingHttpHeaders];
    assert.equal(answer[':status'], 200);
    await once(session, 'goaway');
    await once(session, 'close');
  };
  const websocket = { ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':path': '/', 'sec-websocket-version': '13' };
  const chat = { ':method': 'POST', ':path': '/acme.Echo/Chat', 'content-type': 'application/grpc', te: 'trailers' };
  await Promise.all([open(listens[0], chat), open(listens[1], websocket)]);
});

test('in permissive nobody is cut for it', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await tcpOrigin(lab, (socket) => void socket.pipe(socket));
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(port, 'permissive', { protocol: Protocol.TCP })] });
  const notAfter = Date.now() + SOON_MS;
  const socket = await connectAs(lab, { notAfter });
  await connectAs(lab, { notAfter: Date.now() + 3_600_000 });
  while (Date.now() <= notAfter) await new Promise((resolve) => setTimeout(resolve, notAfter - Date.now() + 1));
  socket.write('ping');
  assert.equal(String((await once(socket, 'data'))[0]), 'ping');
  socket.destroy();
});

test('calls to a server whose certificate ends move to one that it has renewed, and none fails', async () => {
  const receiver = new ProxyLab();
  await using _ = receiver;
  const caller = new ProxyLab(STOREFRONT, receiver.authority);
  await using __ = caller;
  const origin = await receiver.origin();
  await receiver.proxy.applyTrustBundle(receiver.bundle());
  await caller.proxy.applyTrustBundle(receiver.bundle());
  const serve = (notAfter: number) =>
    receiver.proxy.applyIdentity(identityOf(ORDERS, receiver.authority.issue({ uris: [ORDERS], notAfter }), receiver.authority));
  const notAfter = Date.now() + SOON_MS;
  await serve(notAfter);
  await receiver.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  await caller.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([receiver.portOf(0)], Origination.MTLS)] });
  const call = async (): Promise<number> => (await fetch(`http://127.0.0.1:${caller.portOf(0)}/`)).status;
  assert.equal(await call(), 200);
  await serve(Date.now() + 3_600_000);
  while (Date.now() <= notAfter) assert.equal(await call(), 200);
  const { counts } = caller.proxy.takeReport();
  assert.deepEqual(
    counts!.filter(({ reason }) => reason !== ''),
    [],
  );
});
