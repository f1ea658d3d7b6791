import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, type ServerHttp2Stream } from 'node:http2';
import { connect as connectTcp, type Server } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { after, describe, test } from 'node:test';
import { Client, credentials, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { makeDrillRequest } from '../scanner/drill-request.ts';
import type { Wire } from '../../../test/support/exception-lab.ts';
import { callUnary, echo } from '../../../test/support/grpc-lab.ts';
import { callInClear, callOverTls, clientOptions } from '../../../test/support/proxy-lab.ts';
import { listening, named, openService, serves } from '../../../test/support/sdk-lab.ts';
import { startTestControlPlane } from '../../../test/support/test-control-plane.ts';
import type { Countersign } from './countersign.ts';
import { identityOf } from './identity-of.ts';

const last = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: stock\r\nConnection: close\r\n\r\n`;

/** A service that is its own data plane, enforced, with one exception of this machine. */
async function openExcepted(protocol: Protocol, exception: Wire, makeServer: (countersign: Countersign) => Server) {
  const control = await startTestControlPlane();
  const wire = { name: 'checks', sources: ['127.0.0.1/32'], untilMs: BigInt(Date.now() + HOUR_MS), ...exception };
  const stock = await openService(control, 'stock', { inbound: [serves('stock', 'enforce', { protocol, anonymousExceptions: [wire] })] });
  const port = await listening(makeServer(stock.countersign) as never);
  return {
    port,
    stranger: () => clientOptions(control.enrol(named('reports'), stock.proxyId)),
    excepted: async () => {
      const report = await control.report((sent) => sent.counts.some(({ outcome }) => outcome === Outcome.EXCEPTED));
      return [...new Set(report.counts.filter(({ outcome }) => outcome === Outcome.EXCEPTED).map(({ exception: name }) => name))];
    },
    async [Symbol.asyncDispose]() {
      await stock[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
    },
  };
}

/** What came back of a drill, in octets of its call. */
async function drill(port: number, speech: 'http/1.1' | 'h2', secure: boolean): Promise<number> {
  const request = makeDrillRequest(speech, 'stock');
  const socket = secure
    ? connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...(speech === 'h2' ? { ALPNProtocols: ['h2'] } : {}) })
    : connectTcp(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => void (request.take(chunk) && socket.end()));
  socket.write(request.octets);
  await once(socket, 'close');
  return request.read().octetsAnswered;
}

async function openHttp() {
  const seen: string[] = [];
  const callers: unknown[] = [];
  const opened = await openExcepted(Protocol.HTTP, { calls: [{ methods: ['GET'], path: '/healthz' }] }, (countersign) =>
    countersign.createServer({ endpoint: 'stock' }, (request, response) => {
      seen.push(request.url!);
      const { spiffeId, verdict, exception, reason } = identityOf(request);
      callers.push([spiffeId, verdict, exception, reason]);
      response.end('ok');
    }),
  );
  return { ...opened, seen, callers };
}

describe('a server of HTTP/1.1', () => {
  test('lets in what its exception names, and says so to the handler and in its report', async () => {
    await using opened = await openHttp();
    assert.match(await callInClear(opened.port, last('/healthz')), /^HTTP\/1\.1 200 /);
    assert.match((await callOverTls(opened.port, {}, last('/healthz'))).text, /^HTTP\/1\.1 200 /);
    assert.deepEqual(opened.callers, [
      [null, 'except', 'checks', 'plaintext'],
      [null, 'except', 'checks', 'no-certificate'],
    ]);
    assert.deepEqual(await opened.excepted(), ['checks']);
  });

  test('cuts off everything else without an answer', async () => {
    await using opened = await openHttp();
    const { port, seen } = opened;
    for (const request of [
      last('/'),
      last('/healthz/'),
      last('/%68ealthz'),
      last('//healthz'),
      'POST /healthz HTTP/1.1\r\nHost: stock\r\nContent-Length: 0\r\n\r\n',
      'GET /healthz HTTP/1.1\r\nHost: stock\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      'GET /healthz HTTP/1.1\r\nHost: stock\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      `${'x'.repeat(80)}\r\n\r\n`,
    ]) {
      assert.equal(await callInClear(port, request), '', request);
      assert.equal((await callOverTls(port, {}, request)).text, '', request);
    }
    assert.equal((await callOverTls(port, opened.stranger(), last('/healthz'))).text, '');
    assert.deepEqual([await drill(port, 'http/1.1', false), await drill(port, 'http/1.1', true)], [0, 0]);
    assert.deepEqual(seen, []);
  });

  test('judges each later call of a connection anew', async () => {
    await using opened = await openHttp();
    const socket = connectTcp(opened.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET /healthz HTTP/1.1\r\nHost: stock\r\n\r\n');
    await once(socket, 'data');
    socket.write(last('/orders'));
    await once(socket, 'close');
    assert.deepEqual(opened.seen, ['/healthz']);
  });
});

test('a server of HTTP/2 lets in what its exception names, and resets the rest', async () => {
  const seen: string[] = [];
  const opened = await openExcepted(Protocol.GRPC, { calls: [{ methods: ['GET'], path: '/healthz' }] }, (countersign) => {
    const server = countersign.createHttp2Server({ endpoint: 'stock' });
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      seen.push(headers[':path']!);
      stream.respond({ ':status': 200 }, { endStream: true });
    });
    return server;
  });
  await using _ = opened;
  const session = connectHttp2(`https://127.0.0.1:${opened.port}`, { rejectUnauthorized: false });
  session.on('error', () => {});
  const [headers] = (await once(session.request({ ':path': '/healthz' }).resume(), 'response')) as [{ ':status': number }];
  assert.equal(headers[':status'], 200);
  const closed = once(session, 'close');
  const refused = session.request({ ':path': '/orders' });
  refused.on('error', () => {});
  refused.on('response', () => assert.fail('it was answered'));
  await closed;
  assert.deepEqual([await drill(opened.port, 'h2', false), await drill(opened.port, 'h2', true)], [0, 0]);
  assert.deepEqual(seen, ['/healthz']);
});

test('a server of gRPC lets in what its exception names, and answers nothing of the rest, not even what is no gRPC', async () => {
  const seen: string[] = [];
  const calls = [{ methods: ['POST'], path: '/acme.Echo/Unary' }];
  const opened = await openExcepted(Protocol.GRPC, { calls }, (countersign) => {
    const { server, listener } = countersign.createGrpcServer({ endpoint: 'stock' });
    after(() => server.forceShutdown());
    server.addService(echo, {
      unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
        seen.push(`${identityOf(call).verdict} ${String(call.request)}`);
        answer(null, call.request);
      },
      collect: () => seen.push('collect'),
    } as never);
    return listener;
  });
  await using _ = opened;
  const client = new Client(`127.0.0.1:${opened.port}`, credentials.createInsecure(), { 'grpc.enable_retries': 0 });
  after(() => client.close());
  assert.equal(String((await callUnary(client, 'hello')).value), 'hello');
  const { path, requestSerialize, responseDeserialize } = echo.collect;
  const refused = await new Promise((resolve) =>
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, Buffer.from('x'), { deadline: Date.now() + 5_000 }, resolve),
  );
  assert.notEqual(refused, null);
  assert.deepEqual([await drill(opened.port, 'h2', false), await drill(opened.port, 'h2', true)], [0, 0]);
  assert.deepEqual(seen, ['except hello']);
});

test('a server of raw TCP lets in its sources', async () => {
  const callers: unknown[] = [];
  const opened = await openExcepted(Protocol.TCP, {}, (countersign) =>
    countersign.createTcpServer({ endpoint: 'stock' }, (socket) => {
      const { verdict, exception } = identityOf(socket);
      callers.push([verdict, exception]);
      socket.end('220 hello');
    }),
  );
  await using _ = opened;
  assert.equal(await callInClear(opened.port, 'PING'), '220 hello');
  assert.equal((await callOverTls(opened.port, opened.stranger(), 'PING')).text, '');
  assert.deepEqual(callers, [['except', 'checks']]);
});
