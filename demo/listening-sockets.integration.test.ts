import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { listListeningSockets, probePlaintext } from './listening-sockets.ts';

test(
  'listListeningSockets() finds our own listening socket and none of a process that is gone',
  { skip: process.platform !== 'linux' },
  async () => {
    await using server = createServer((_, response) => response.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    assert.deepEqual(
      listListeningSockets([process.pid])?.filter((socket) => socket.port === port),
      [{ address: '127.0.0.1', port, pids: [process.pid] }],
    );
    assert.deepEqual(listListeningSockets([2 ** 30]), []);
  },
);

test('probePlaintext() tells a server that answers from one that closes or alerts', async () => {
  await using answering = createServer((_, response) => response.writeHead(404).end());
  await using closing = createTcpServer((socket) => socket.once('data', () => socket.destroy()));
  await using alerting = createTcpServer((socket) => socket.once('data', () => socket.end(Buffer.from('15030300020232', 'hex'))));
  for (const [server, expected] of [
    [answering, 'answered'],
    [closing, 'refused'],
    [alerting, 'refused'],
  ] as const) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    assert.equal(await probePlaintext((server.address() as AddressInfo).port), expected);
  }
});
