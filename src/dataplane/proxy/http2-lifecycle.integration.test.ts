import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants, createServer, type IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Origination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Channel, Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { callUnary, GRPC, grpcClient, grpcService } from '../../../test/support/grpc-lab.ts';
import { clientOptions, inboundTo, outboundTo, ProxyLab, STOREFRONT, STRANGER, type modes } from '../../../test/support/proxy-lab.ts';
import type { TestCredential } from '../../../test/support/test-authority.ts';

type Lab = { readonly lab: ProxyLab; readonly servicePort: number; readonly port: number; readonly release: () => void };

/** A gRPC service behind a proxy; a call with a body of `wait` is answered when the test says so. */
async function openLab(mode: keyof typeof modes): Promise<Lab> {
  const lab = new ProxyLab();
  const held: (() => void)[] = [];
  const { port: servicePort } = await grpcService(lab, {
    unary(call, callback) {
      if (call.request.toString() === 'wait') held.push(() => callback(null, call.request));
      else callback(null, Buffer.from(String(call.metadata.get('x-forwarded-client-cert').length)));
    },
  });
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(servicePort, mode, GRPC)] });
  return { lab, servicePort, port: lab.portOf(0), release: () => held.forEach((answer) => answer()) };
}

function secureSession(lab: ProxyLab, port: number, credential: TestCredential): ClientHttp2Session {
  const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...clientOptions(credential) });
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  return session;
}

const FRAME = (text: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, 0, text.length]), Buffer.from(text)]);

/** One raw gRPC call on a session of node:http2; resolves with the fields that ended it, or null after a reset. */
function callOn(session: ClientHttp2Session, body = 'x'): Promise<IncomingHttpHeaders | null> {
  const { promise, resolve } = Promise.withResolvers<IncomingHttpHeaders | null>();
  const stream = session.request({ ':method': 'POST', ':path': '/acme.Echo/Unary', 'content-type': 'application/grpc', te: 'trailers' });
  let end: IncomingHttpHeaders | null = null;
  stream.on('response', (headers) => (end = headers['grpc-status'] === undefined ? end : headers));
  stream.on('trailers', (trailers) => (end = trailers));
  stream.on('error', () => {});
  stream.on('close', () => resolve(end));
  stream.resume().end(FRAME(body));
  return promise;
}

const callsOf = (lab: ProxyLab) =>
  lab.proxy
    .takeReport()
    .counts!.filter(({ unit }) => unit === Unit.CALL)
    .map(({ channel, outcome, reason, count }) => [channel, outcome, reason, count]);

test('a plaintext fleet of gRPC is served in the clear, counted, told to move when the mode rises, and refused afterwards', async () => {
  const { lab, servicePort, port, release } = await openLab('permissive');
  await using _ = lab;
  const old = connect(`http://127.0.0.1:${port}`);
  assert.equal((await callOn(old))?.['grpc-status'], '0');
  assert.deepEqual(callsOf(lab), [[Channel.PLAINTEXT, Outcome.WOULD_REFUSE, 'plaintext', 1n]]);
  const underWay = callOn(old, 'wait');
  await callOn(old);
  const told = once(old, 'goaway');
  await lab.apply({ inbound: [inboundTo(servicePort, 'enforce', { ...GRPC, drainMs: 60_000 })] });
  const [code] = (await told) as [number];
  assert.equal(code, constants.NGHTTP2_NO_ERROR);
  release();
  assert.equal((await underWay)?.['grpc-status'], '0', 'the call under way ends for itself');
  if (!old.destroyed) await once(old, 'close');
  const fresh = connect(`http://127.0.0.1:${port}`);
  fresh.on('error', () => {});
  assert.equal(await callOn(fresh), null, 'a new connection is refused');
  assert.equal(lab.refusals()[0]!.reason, 'plaintext');
});

test('an old plaintext connection that goes on is cut when the drain time is over', async () => {
  const { lab, servicePort, port } = await openLab('permissive');
  await using _ = lab;
  const old = connect(`http://127.0.0.1:${port}`);
  old.on('error', () => {});
  const underWay = callOn(old, 'wait');
  await callOn(old);
  await lab.apply({ inbound: [inboundTo(servicePort, 'enforce', { ...GRPC, drainMs: 50 })] });
  assert.equal(await underWay, null);
});

test('identity fields are stripped in every mode, and added only where an identity is proved', async () => {
  const { lab, port } = await openLab('observe');
  await using _ = lab;
  const service = createServer((request, response) => response.end(JSON.stringify(request.headers)));
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => service.close());
  await lab.apply({ inbound: [inboundTo((service.address() as AddressInfo).port, 'observe', GRPC)] });
  const forged = { ':path': '/', 'client-cert': ':forged:', 'x-forwarded-client-cert': 'forged', client_cert_chain: 'forged' };
  const read = async (session: ClientHttp2Session): Promise<IncomingHttpHeaders> => {
    const stream = session.request(forged);
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(stream, 'end');
    session.close();
    return JSON.parse(text) as IncomingHttpHeaders;
  };
  const clear = await read(connect(`http://127.0.0.1:${port}`));
  assert.deepEqual(
    Object.keys(clear).filter((name) => /cert/.test(name)),
    [],
  );
  const proved = await read(secureSession(lab, port, lab.authority.issue({ uris: [STOREFRONT] })));
  assert.match(String(proved['x-forwarded-client-cert']), /URI=spiffe:\/\/acme\.example\/test\/storefront$/);
  assert.deepEqual([proved['client_cert_chain'], proved['client-cert'] === ':forged:'], [undefined, false]);
});

test('a revoked identity: its open connection is told to end, its call under way ends soon, and it is let in no more', async () => {
  const { lab, port } = await openLab('enforce');
  await using _ = lab;
  const credential = lab.authority.issue({ uris: [STOREFRONT] });
  const session = secureSession(lab, port, credential);
  assert.equal((await callOn(session))?.['grpc-status'], '0');
  const underWay = callOn(session, 'wait');
  await callOn(session);
  const told = once(session, 'goaway');
  lab.revoke({ credentials: [credential] });
  await told;
  assert.equal(await underWay, null, 'it is cut');
  assert.equal(await callOn(secureSession(lab, port, credential)), null);
  assert.equal(lab.refusals()[0]!.reason, 'revoked');
  const idle = secureSession(lab, port, lab.authority.issue({ uris: [STOREFRONT] }));
  assert.equal((await callOn(idle))?.['grpc-status'], '0');
  const closed = once(idle, 'close');
  lab.revoke({ suspended: [STOREFRONT] });
  await closed;
});

test('strangers are refused in enforce and counted in permissive', async () => {
  const { lab, servicePort, port } = await openLab('permissive');
  await using _ = lab;
  const credential = lab.authority.issue({ uris: [STRANGER] });
  assert.equal((await callOn(secureSession(lab, port, credential)))?.['grpc-status'], '0');
  assert.deepEqual(callsOf(lab), [[Channel.MTLS, Outcome.WOULD_REFUSE, 'wrong-identity', 1n]]);
  await lab.apply({ inbound: [inboundTo(servicePort, 'enforce', GRPC)] });
  assert.equal(await callOn(secureSession(lab, port, credential)), null);
});

test('a client that offers HTTP/1.1 only gets no connection of TLS, and nothing of it reaches the service', async () => {
  const { lab, port } = await openLab('observe');
  await using _ = lab;
  const { connect: connectTls } = await import('node:tls');
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.match(String(error.code), /NO_APPLICATION_PROTOCOL/);
});

test('both proxies change their settings and retire under calls without losing one', async () => {
  const receivers = [await openLab('enforce')];
  receivers.push(await openShared(receivers[0]!));
  const caller = new ProxyLab(STOREFRONT, receivers[0]!.lab.authority);
  await caller.proxy.applyTrustBundle(caller.bundle());
  const [a, b] = receivers.map(({ port }) => port) as [number, number];
  await caller.apply(outbound([a]));
  const client = grpcClient(caller, caller.portOf(0));
  const codes: (number | undefined)[] = [];
  const stop = new AbortController();
  const load = Array.from({ length: 8 }, async () => {
    while (!stop.signal.aborted) codes.push((await callUnary(client, 'x')).error?.code);
  });
  const more = async (): Promise<void> => {
    const target = codes.length + 100;
    while (codes.length < target) await new Promise((resolve) => setImmediate(resolve));
  };
  await more();
  await caller.apply(outbound([a, b]));
  await more();
  await caller.apply(outbound([b]));
  await more();
  await receivers[0]!.lab.proxy.stop(5_000);
  await more();
  await caller.apply(outbound([b]));
  stop.abort();
  await Promise.all(load);
  assert.deepEqual([...new Set(codes)], [undefined]);
  await caller[Symbol.asyncDispose]();
  for (const { lab } of receivers) await lab[Symbol.asyncDispose]();
});

function outbound(ports: readonly number[]) {
  return { spiffeId: STOREFRONT, outbound: [outboundTo(ports, Origination.MTLS, { ...GRPC, drainMs: 5_000 })] };
}

/** A second replica with an authority of the first. */
async function openShared(first: Lab): Promise<Lab> {
  const lab = new ProxyLab(undefined, first.lab.authority);
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(first.servicePort, 'enforce', GRPC)] });
  return { lab, servicePort: first.servicePort, port: lab.portOf(0), release: first.release };
}
