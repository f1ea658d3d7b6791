import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { InboundSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { callOverTls, clientOptions } from '../../../test/support/proxy-lab.ts';
import { listening, named, openService, serves } from '../../../test/support/sdk-lab.ts';
import { startTestControlPlane } from '../../../test/support/test-control-plane.ts';

/** A service that says how long a body was, and what it saw of those that broke off. */
async function openStock(mode: 'observe' | 'enforce', more: MessageInitShape<typeof InboundSchema>) {
  const control = await startTestControlPlane();
  const stock = await openService(control, 'stock', { inbound: [serves('stock', mode, more)] });
  const seen: string[] = [];
  const server = stock.countersign.createServer({ endpoint: 'stock' }, (request: IncomingMessage, response) => {
    let octets = 0;
    request.on('data', (chunk: Buffer) => (octets += chunk.length)).on('error', () => {});
    request.on('aborted', () => {
      seen.push('cut');
      // A handler that knows nothing of it goes on as it would.
      response.statusCode = 500;
      response.end('late');
    });
    request.on('end', () => {
      seen.push(`${octets} octets`);
      response.end(String(octets));
    });
  });
  return {
    seen,
    port: await listening(server),
    caller: clientOptions(control.authority.issue({ uris: [named('orders')] })),
    async [Symbol.asyncDispose]() {
      await stock[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
    },
  };
}

const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\nHost: stock\r\nConnection: close\r\n${fields}\r\n${body}`;
const chunks = (count: number): string => `3e8\r\n${'x'.repeat(1_000)}\r\n`.repeat(count);
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

test('a body that is too long is 413 before a handler hears of it, or where it grows too long; others are served', async () => {
  await using stock = await openStock('enforce', { maximumBodyOctets: 5_000n });
  const { port, caller, seen } = stock;
  assert.match((await callOverTls(port, caller, post('Content-Length: 5001\r\n', 'x'))).text, /^HTTP\/1\.1 413 [^]*Connection: close/);
  assert.deepEqual(seen, []);
  assert.match((await callOverTls(port, caller, post(CHUNKED, chunks(9)))).text, /^HTTP\/1\.1 413 [^]*Connection: close\r\n\r\n$/);
  assert.deepEqual(seen, ['cut']);
  assert.match((await callOverTls(port, caller, post(CHUNKED, `${chunks(5)}0\r\n\r\n`))).text, /^HTTP\/1\.1 200 [^]*5000/);
});

test('in observe it passes', async () => {
  await using stock = await openStock('observe', { maximumBodyOctets: 10n });
  assert.match((await callOverTls(stock.port, stock.caller, post(CHUNKED, `${chunks(5)}0\r\n\r\n`))).text, /^HTTP\/1\.1 200 [^]*5000/);
  assert.match(
    (await callOverTls(stock.port, stock.caller, post('Content-Length: 11\r\n', 'x'.repeat(11)))).text,
    /^HTTP\/1\.1 200 [^]*11/,
  );
});

test('a server of the SDK has so many connections, too', async () => {
  await using stock = await openStock('enforce', { maximumConnections: 1 });
  const first = connect(stock.port, '127.0.0.1');
  await new Promise((resolve) => first.once('connect', resolve));
  assert.equal((await callOverTls(stock.port, stock.caller)).text, '');
  first.destroy();
  while ((await callOverTls(stock.port, stock.caller)).text === '') await new Promise(setImmediate);
});
