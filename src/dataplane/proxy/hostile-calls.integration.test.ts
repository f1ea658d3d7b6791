import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { callInClear, clientOptions, inboundTo, ProxyLab, STOREFRONT, tcpOrigin } from '../../../test/support/proxy-lab.ts';
import { listen } from './listen.ts';

/** A proxy in observe before a service that answers each read with these octets and keeps what it got. */
async function openLab(answer: string | Buffer): Promise<{ lab: ProxyLab; port: number; received: string[]; connections: () => number }> {
  const lab = new ProxyLab();
  const received: string[] = [];
  let connections = 0;
  const { port } = await tcpOrigin(lab, (socket) => {
    connections += 1;
    socket.on('data', (chunk) => {
      received.push(chunk.toString('latin1'));
      if (answer.length > 0) socket.write(answer);
    });
    socket.on('end', () => socket.end()).on('close', () => (connections -= 1));
  });
  await lab.apply({ inbound: [inboundTo(port, 'observe')] });
  return { lab, port: lab.portOf(0), received, connections: () => connections };
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
const WEBSOCKET = 'Host: orders\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';

test('a call that only looks like a WebSocket handshake keeps its method', async () => {
  const { lab, port, received } = await openLab(OK);
  await using _ = lab;
  await callInClear(port, `POST /pay HTTP/1.1\r\nConnection: close\r\n${WEBSOCKET}`);
  assert.match(received[0]!, /^POST \/pay HTTP\/1\.1\r\n/);
});

test('a WebSocket handshake for another host than its Host field says reaches no service', async () => {
  const { lab, port, received } = await openLab(OK);
  await using _ = lab;
  const answer = await callInClear(port, `GET http://elsewhere/pay HTTP/1.1\r\n${WEBSOCKET}`);
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.deepEqual(received, []);
});

test('a connection that sends calls without end ahead of their answers is cut, and takes few connections to the service', async () => {
  const { lab, port, connections } = await openLab('');
  await using _ = lab;
  const call = 'GET /slow HTTP/1.1\r\nHost: orders\r\n\r\n';
  const greedy = connect(port, '127.0.0.1', () => greedy.write(call.repeat(2_000)));
  greedy.on('error', () => {});
  greedy.resume();
  await new Promise((resolve) => greedy.on('close', resolve));
  assert.ok(connections() <= 32, `${connections()} connections`);
  const failed = lab.proxy.takeReport().counts!.filter(({ reason }) => reason === 'limit-exceeded');
  assert.equal(failed.length, 1);
});

test('a few calls ahead are answered in their order', async () => {
  const { lab, port } = await openLab('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  await using _ = lab;
  const calls = 'GET /a HTTP/1.1\r\nHost: orders\r\n\r\n'.repeat(7);
  const answer = await callInClear(port, `${calls}GET /z HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n`);
  assert.equal(answer.match(/200 OK/g)!.length, 8);
});

test('a body whose sender stops is given up, and its connection to the service with it', async () => {
  const { lab, port, connections } = await openLab('');
  await using _ = lab;
  const answer = await callInClear(port, 'POST / HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel');
  assert.equal(answer, '');
  while (connections() > 0) await new Promise((resolve) => setImmediate(resolve));
});

test('an answer that its caller does not read is given up', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const closed = Promise.withResolvers<void>();
  const origin = await lab.origin((_request, response) => {
    const chunk = Buffer.alloc(65_536);
    const fill = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', fill);
    response.on('close', () => closed.resolve());
    fill();
  });
  await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  const reader = connect(lab.portOf(0), '127.0.0.1', () => reader.write('GET / HTTP/1.1\r\nHost: orders\r\n\r\n'));
  reader.on('error', () => {});
  reader.pause();
  await closed.promise;
  reader.destroy();
});

test('a status line with odd octets in its phrase is answered without the phrase', async () => {
  const { lab, port } = await openLab(Buffer.from('HTTP/1.1 200 \u20ac\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'));
  await using _ = lab;
  assert.match(await callInClear(port), /^HTTP\/1\.1 200 \r\n[^]*\r\n\r\nok$/);
});

test('a caller on TLS 1.2 cannot shake hands a second time', async () => {
  const { lab } = await openLab(OK);
  await using _ = lab;
  const options = { ...clientOptions(lab.authority.issue({ uris: [STOREFRONT] })), maxVersion: 'TLSv1.2' as const };
  const socket = connectTls({ host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  const again = Promise.withResolvers<Error | null>();
  socket.on('error', (error) => again.resolve(error));
  socket.renegotiate({ rejectUnauthorized: false }, (error) => again.resolve(error));
  assert.match(String((await again.promise)?.message), /no.renegotiation/i);
  socket.destroy();
});

test('a Unix socket takes no path where a file lies, and the file stays', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-listen-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'precious');
  await writeFile(path, 'data');
  const listening = listen({ address: { kind: 'unix', path }, fd: undefined, onConnection: () => {} });
  await assert.rejects(listening, { code: 'state-conflict' });
  assert.equal(await readFile(path, 'utf8'), 'data');
});
