import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type ClientHttp2Stream, connect as connectHttp2, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { clientOptions, inboundTo, loopback, modes, STOREFRONT, STRANGER } from '../../../test/support/proxy-lab.ts';
import type { TestCredential } from '../../../test/support/test-authority.ts';
import { Protocol } from '../messages/generated/countersign/v1/settings_pb.ts';

type Stream = { say(text: string): Promise<string>; readonly closed: Promise<unknown>; end(): void };
type Kind = 'WebSocket' | 'gRPC';

describe('streams that stand at Envoy', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  let services: { readonly [kind in Kind]: number };
  before(async () => {
    bench = await EnvoyBench.start(['--drain-time-s', '1', '--drain-strategy', 'immediate']);
    services = { WebSocket: await echoOfUpgrades(), gRPC: await echoOfCalls() };
  });
  after(() => bench[Symbol.asyncDispose]());
  beforeEach(() => bench.revoked.clear());

  const apply = (kind: Kind, callers: readonly string[] = [STOREFRONT], mode: 'permissive' | 'enforce' = 'enforce') =>
    bench.apply({
      inbound: [
        inboundTo(services[kind], mode, {
          listen: loopback(bench.port),
          protocol: kind === 'gRPC' ? Protocol.GRPC : Protocol.HTTP,
          callers: callers.map((spiffeId) => ({ pathId: 'p', spiffeId, mode: modes[mode] })),
        } as Parameters<typeof inboundTo>[2]),
      ],
    });
  const open = (kind: Kind, credential: TestCredential): Promise<Stream> =>
    kind === 'gRPC' ? openCall(bench.port, credential) : openUpgrade(bench.port, credential);
  const issue = (spiffeId: string) => bench.lab.authority.issue({ uris: [spiffeId] });

  for (const kind of ['WebSocket', 'gRPC'] as const) {
    for (const fall of ['revoked', 'suspended'] as const) {
      it(`of ${kind} end once their caller is ${fall}, and it comes back with none`, async () => {
        await apply(kind);
        const caller = issue(STOREFRONT);
        const stream = await open(kind, caller);
        assert.equal(await stream.say('one'), 'one');
        if (fall === 'revoked') bench.revoked.credentials.push(caller);
        else bench.revoked.suspended.push(STOREFRONT);
        await apply(kind);
        await stream.closed;
        await assert.rejects(open(kind, caller));
      });
    }

    it(`of ${kind} end once their caller is none any more, so that what is revoked of it afterwards is on no stream`, async () => {
      await apply(kind, [STOREFRONT, STRANGER]);
      const caller = issue(STOREFRONT);
      const stream = await open(kind, caller);
      assert.equal(await stream.say('one'), 'one');
      await apply(kind, [STRANGER]);
      bench.revoked.credentials.push(caller);
      bench.revoked.suspended.push(STOREFRONT);
      await apply(kind, [STRANGER]);
      await stream.closed;
      await assert.rejects(open(kind, caller));
    });

    it(`of ${kind} do not end for somebody who is no caller here`, async () => {
      await apply(kind);
      const stream = await open(kind, issue(STOREFRONT));
      const before = await bench.envoy.admin('/stats?filter=listener_manager.listener_modified$');
      bench.revoked.credentials.push(issue(STRANGER));
      bench.revoked.suspended.push(STRANGER);
      await apply(kind);
      assert.equal(await stream.say('two'), 'two');
      assert.equal(await bench.envoy.admin('/stats?filter=listener_manager.listener_modified$'), before);
      stream.end();
    });
  }

  it('of others end with them, as Envoy ends the connections of a chain and not of a caller, and come back', async () => {
    await apply('WebSocket', [STOREFRONT, STRANGER]);
    const [gone, stays] = [issue(STOREFRONT), issue(STRANGER)];
    const stream = await open('WebSocket', stays);
    bench.revoked.credentials.push(gone);
    await apply('WebSocket', [STOREFRONT, STRANGER]);
    await stream.closed;
    const again = await open('WebSocket', stays);
    assert.equal(await again.say('three'), 'three');
    again.end();
  });

  it('end behind an open door too, where the next one is nobody’s', async () => {
    await apply('WebSocket', [STOREFRONT], 'permissive');
    const caller = issue(STOREFRONT);
    const stream = await open('WebSocket', caller);
    bench.revoked.suspended.push(STOREFRONT);
    await apply('WebSocket', [STOREFRONT], 'permissive');
    await stream.closed;
    const again = await open('WebSocket', caller);
    assert.equal(await again.say('four'), 'four');
    again.end();
  });
});

async function openUpgrade(port: number, credential: TestCredential): Promise<Stream> {
  const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...clientOptions(credential) });
  const closed = once(socket, 'close');
  socket.on('error', () => {});
  const answered = Promise.race([once(socket, 'data'), closed.then(() => ['closed'])]);
  socket.write('GET /chat HTTP/1.1\r\nHost: orders\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  const [head] = (await answered) as [Buffer | string];
  if (!String(head).startsWith('HTTP/1.1 101 ')) throw new Error(String(head));
  return {
    closed,
    async say(text) {
      socket.write(text);
      const [said] = (await once(socket, 'data')) as [Buffer];
      return String(said);
    },
    end: () => socket.destroy(),
  };
}

async function openCall(port: number, credential: TestCredential): Promise<Stream> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...clientOptions(credential) });
  session.on('error', () => {});
  const fields = { ':method': 'POST', ':path': '/chat.Chat/Talk', 'content-type': 'application/grpc', te: 'trailers' };
  const stream: ClientHttp2Stream = session.request(fields);
  stream.on('error', () => {});
  const status = new Promise<number>((resolve) => {
    stream.once('response', ({ ':status': code, 'grpc-status': grpc }) => resolve(grpc === undefined ? (code ?? 0) : 0));
    stream.once('close', () => resolve(0));
  });
  stream.write('hello');
  if ((await status) !== 200) {
    session.destroy();
    throw new Error('refused');
  }
  await once(stream, 'data');
  const over = new Promise((resolve) => stream.once('close', resolve)).then(() => session.destroy());
  return {
    closed: over,
    async say(text) {
      stream.write(text);
      const [said] = (await once(stream, 'data')) as [Buffer];
      return String(said);
    },
    end: () => session.destroy(),
  };
}

/** A service that says after an upgrade what was said to it. */
async function echoOfUpgrades(): Promise<number> {
  const server = createServer((_request, response) => response.writeHead(426).end());
  server.on('upgrade', (_request, socket: Socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return (server.address() as AddressInfo).port;
}

/** The same in the calls of HTTP/2 in the clear. */
async function echoOfCalls(): Promise<number> {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.pipe(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return (server.address() as AddressInfo).port;
}
