import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { adminClient } from './admin-client.ts';

const folder = await mkdtemp(join(tmpdir(), 'countersign-admin-'));
after(() => rm(folder, { recursive: true }));

async function answering(name: string, answer: RequestListener) {
  const path = join(folder, name);
  const server = createServer(answer).listen(path);
  await once(server, 'listening');
  after(() => server.close());
  return adminClient(path);
}

test('nobody at the socket is told from one that does not answer as it should', async () => {
  await writeFile(join(folder, 'file'), '');
  for (const name of ['nothing', 'file']) {
    await assert.rejects(adminClient(join(folder, name)).dump('dynamic_listeners', 'name'), { code: 'not-found' }, name);
  }
  const failing = await answering('failing', (_request, response) => response.writeHead(503).end('no'));
  await assert.rejects(failing.dump('dynamic_listeners', 'name'), { code: 'state-conflict' });
  const cut = await answering('cut', (request) => request.socket.destroy());
  await assert.rejects(cut.gauges('x'), { code: 'state-conflict' });
  const babbling = await answering('babbling', (_request, response) => response.end('not JSON'));
  await assert.rejects(babbling.gauges('x'), SyntaxError);
});

test('a list that is not there is empty, and what is no gauge is left out', async () => {
  const empty = await answering('empty', (_request, response) => response.end('{}'));
  assert.deepEqual(await empty.dump('dynamic_listeners', 'name'), []);
  const never = await answering('never', (_request, response) =>
    response.writeHead(404).end('dynamic_route_configs not found in config dump'),
  );
  assert.deepEqual(await never.dump('dynamic_route_configs', 'version_info'), []);
  await assert.rejects(never.gauges('x'), { code: 'state-conflict' });
  const odd = await answering('odd', (_request, response) =>
    response.end('{"stats":[{"name":"a","value":1},{"name":"b","value":"x"},{"histograms":{}}]}'),
  );
  assert.deepEqual([...(await odd.gauges('x'))], [['a', 1]]);
});

test('one connection serves many questions, and one that Envoy closed meanwhile is no failure', async () => {
  let connections = 0;
  let isClosing = false;
  const path = join(folder, 'kept');
  const server = createServer((request, response) => {
    if (isClosing) {
      isClosing = false;
      request.socket.destroy();
    } else response.end('{}');
  }).listen(path);
  server.on('connection', () => (connections += 1));
  await once(server, 'listening');
  after(() => server.close());
  const admin = adminClient(path);
  for (let count = 0; count < 5; count++) await admin.gauges('x');
  assert.equal(connections, 1);
  isClosing = true;
  assert.deepEqual(await admin.dump('dynamic_listeners', 'name'), []);
  assert.equal(connections, 2);
});

test('an Envoy that went away between two questions is nobody', async () => {
  const path = join(folder, 'gone');
  const server = createServer((_request, response) => response.end('{}')).listen(path);
  await once(server, 'listening');
  const admin = adminClient(path);
  await admin.gauges('x');
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
  await assert.rejects(admin.gauges('x'), { code: 'not-found' });
});
