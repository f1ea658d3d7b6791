import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { startDnsServer } from '../../../test/support/dns-server.ts';
import { fetchOutside, type FetchRequest } from './fetch-outside.ts';
import { makeNameResolver } from './name-resolver.ts';
import { parseOutsidePolicy } from './outside-policy.ts';

test('an outside policy permits its ranges at their ports, and never own listeners or link-local addresses', () => {
  const policy = parseOutsidePolicy(['10.0.0.0/8', '127.0.0.0/8:5002', '::1/128:5002', '0.0.0.0/0:80'], () => [
    { host: '127.0.0.1', port: 5002 },
    { host: '0.0.0.0', port: 80 },
    { host: '::', port: 443 },
  ]);
  const permitted = [
    ['10.1.2.3', 1],
    ['127.0.0.2', 5002],
    ['::1', 5002],
    ['192.0.2.1', 80],
    ['10.1.2.3', 443],
  ] as const;
  for (const [ip, port] of permitted) assert.equal(policy.permits(ip, port), true, `${ip} ${port}`);
  const refused = [
    ['127.0.0.1', 5002],
    ['::ffff:127.0.0.1', 5002],
    ['127.0.0.1', 80],
    ['127.0.0.1', 443],
    ['127.0.0.2', 5003],
    ['192.0.2.1', 81],
    ['169.254.169.254', 80],
    ['::ffff:169.254.169.254', 80],
    ['0.0.0.0', 80],
    ['fe80::1', 80],
    ['x', 80],
    ['', 80],
  ] as const;
  for (const [ip, port] of refused) assert.equal(policy.permits(ip, port), false, `${ip} ${port}`);
  for (const range of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/8:0', '10.0.0.0/8:65536', '10.0.0.0/8:x', ':80', '']) {
    assert.throws(() => parseOutsidePolicy([range], () => []), { code: 'input-invalid' }, range);
  }
});

/** A web server that answers by path, on a port that is permitted, and one beside it that is not. */
async function openWeb() {
  const answers = new Map<string, (response: import('node:http').ServerResponse) => void>();
  const hosts: string[] = [];
  const server = createServer((request, response) => {
    hosts.push(request.headers.host ?? '');
    (answers.get(request.url!) ?? (() => response.writeHead(404).end()))(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const dns = await startDnsServer();
  dns.records.set('web.example', [{ type: 'A', address: '127.0.0.1' }]);
  dns.records.set('metadata.example', [{ type: 'A', address: '169.254.169.254' }]);
  dns.records.set('elsewhere.example', [{ type: 'A', address: '192.0.2.1' }]);
  dns.records.set('broken.example', [{ type: 'fail' }]);
  const deps = {
    resolver: makeNameResolver([dns.address]),
    policy: parseOutsidePolicy([`127.0.0.0/8:${port}`, '169.254.0.0/16'], () => []),
  };
  const fetch = (url: string, change: Partial<FetchRequest> = {}) =>
    fetchOutside(deps, { url, timeoutMs: 5_000, maximumOctets: 100, redirectPorts: [port], ...change });
  return {
    answers,
    hosts,
    port,
    dns,
    fetch,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await dns[Symbol.asyncDispose]();
    },
  };
}

test('fetchOutside() resolves by itself, sends the name as Host, and follows redirects that are permitted', async () => {
  await using web = await openWeb();
  web.answers.set('/there', (response) => response.end('hello'));
  web.answers.set('/here', (response) => response.writeHead(302, { location: '/there' }).end());
  const fetched = await web.fetch(`http://web.example:${web.port}/here`);
  assert.ok(fetched.kind === 'answered');
  assert.deepEqual([fetched.status, fetched.body.toString(), fetched.address], [200, 'hello', '127.0.0.1']);
  assert.deepEqual(web.hosts, [`web.example:${web.port}`, `web.example:${web.port}`]);
});

test('fetchOutside() refuses what the policy, the port list, the size or the time forbids, before it connects where it can', async () => {
  await using web = await openWeb();
  const { port } = web;
  const redirect = (path: string, location: string) => web.answers.set(path, (response) => response.writeHead(301, { location }).end());
  redirect('/port', 'http://web.example:22/');
  redirect('/metadata', `http://169.254.169.254:${port}/latest`);
  redirect('/named-metadata', `http://metadata.example:${port}/`);
  redirect('/file', 'file:///etc/passwd');
  redirect('/user', `http://root@web.example:${port}/`);
  redirect('/loop', '/loop');
  redirect('/elsewhere', `http://elsewhere.example:${port}/`);
  web.answers.set('/large', (response) => response.end('x'.repeat(101)));
  web.answers.set('/silent', () => {});
  web.answers.set('/drip', (response) => void response.write('x'));
  web.answers.set('/cut', (response) => void response.socket?.destroy());
  const cases: readonly (readonly [string, string])[] = [
    [`http://web.example:${port}/port`, 'policy'],
    [`http://web.example:${port}/metadata`, 'policy'],
    [`http://web.example:${port}/named-metadata`, 'policy'],
    [`http://web.example:${port}/file`, 'policy'],
    [`http://web.example:${port}/user`, 'policy'],
    [`http://web.example:${port}/loop`, 'policy'],
    [`http://web.example:${port}/elsewhere`, 'policy'],
    [`http://web.example:${port}/large`, 'answer'],
    [`http://web.example:${port}/cut`, 'connection'],
    [`http://metadata.example:${port}/`, 'policy'],
    [`http://elsewhere.example:${port}/`, 'policy'],
    [`http://web.example:${port + 1}/`, 'policy'],
    [`http://169.254.169.254:${port}/`, 'policy'],
    [`http://[::1]:${port}/`, 'policy'],
    [`http://nowhere.example:${port}/`, 'dns'],
    [`http://broken.example:${port}/`, 'dns'],
  ];
  for (const [url, stage] of cases) {
    const fetched = await web.fetch(url);
    assert.equal(fetched.kind === 'failed' ? fetched.stage : fetched.status, stage, url);
  }
  for (const path of ['/silent', '/drip']) {
    const fetched = await web.fetch(`http://web.example:${port}${path}`, { timeoutMs: 300 });
    assert.ok(fetched.kind === 'failed' && fetched.stage === 'connection', path);
  }
});

/** What a server of exactly these octets is taken for; in pieces, each sent by itself. */
async function fetchFrom(pieces: readonly string[], hangs = false): Promise<string> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined).resume();
    const send = (at: number): void => {
      if (at < pieces.length) socket.write(pieces[at]!, 'latin1', () => setImmediate(send, at + 1));
      else if (!hangs) socket.end();
    };
    send(0);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const deps = { resolver: makeNameResolver([]), policy: parseOutsidePolicy([`127.0.0.0/8:${port}`], () => []) };
  const fetched = await fetchOutside(deps, { url: `http://a.localhost:${port}/`, timeoutMs: 5_000, maximumOctets: 10, redirectPorts: [] });
  server.close();
  return fetched.kind === 'failed' ? fetched.stage : `${fetched.status} ${fetched.body.toString('latin1')}`;
}

test('fetchOutside() reads an answer however it is framed and cut, and waits for no more than it', async () => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  const answers: readonly (readonly [string, string, boolean])[] = [
    [`${ok}content-length: 5\r\n\r\nhello`, '200 hello', true],
    [`${ok}content-length: 5\r\n\r\nhello and more`, '200 hello', true],
    [`${ok}transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nx: y\r\n\r\n`, '200 hello', true],
    [`${ok}\r\nhello`, '200 hello', false],
    ['HTTP/1.0 200\r\n\r\nhello', '200 hello', false],
    ['HTTP/1.1 204 No Content\r\n\r\n', '204 ', true],
    [`${ok}content-length: 0\r\n\r\n`, '200 ', true],
    [`HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${ok}content-length: 1\r\n\r\nx`, '200 x', true],
    ['HTTP/1.1 302 Found\r\ncontent-length: 1\r\n\r\nx', '302 x', true],
    ['HTTP/1.1 302 Found\r\nLOCATION: \t file:///etc/passwd \r\ncontent-length: 99\r\n\r\n', 'policy', true],
    ['HTTP/1.1 404 Not Found\r\nlocation: /x\r\ncontent-length: 2\r\n\r\nno', '404 no', true],
    [`${ok}content-length: 11\r\n\r\nhello hello`, 'answer', true],
    [`${ok}transfer-encoding: chunked\r\n\r\nb\r\nhello hello`, 'answer', true],
  ];
  for (const [text, expected, hangs] of answers) {
    assert.equal(await fetchFrom([text], hangs), expected, text);
    assert.equal(await fetchFrom(text.split(/(?<=[\r:])/), hangs), expected, `${text}, in pieces`);
  }
});

test('fetchOutside() fails where an answer is cut off, or two readers could take it for different ones', async () => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  for (const text of [
    '',
    'HTTP/1.1 200 OK\r\ncontent-le',
    `${ok}content-length: 5\r\n\r\nhell`,
    `${ok}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    `${ok}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${ok}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`,
    `${ok}content-length: five\r\n\r\nhello`,
    `${ok}transfer-encoding: gzip\r\n\r\nhello`,
    `${ok}a b: c\r\n\r\n`,
    `${ok} folded\r\n\r\n`,
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n',
    `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(9)}${ok}content-length: 1\r\n\r\nx`,
    `${ok}x: ${'y'.repeat(20_000)}\r\n\r\n`,
  ]) {
    assert.equal(await fetchFrom([text]), 'connection', text.slice(0, 80));
  }
});

test('what listens and says no HTTP is a failure, not an exception', async () => {
  const server = createTcpServer((socket) => socket.end('SSH-2.0-x\r\n')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const deps = { resolver: makeNameResolver([]), policy: parseOutsidePolicy([`127.0.0.0/8:${port}`], () => []) };
  const fetched = await fetchOutside(deps, { url: `http://a.localhost:${port}/`, timeoutMs: 5_000, maximumOctets: 10, redirectPorts: [] });
  assert.ok(fetched.kind === 'failed' && fetched.stage === 'connection');
  server.close();
});
