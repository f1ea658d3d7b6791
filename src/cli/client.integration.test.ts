import assert from 'node:assert/strict';
import { createServer, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { describe, test } from 'node:test';
import { closedAddress, openTcpEndpoint, pemOf } from '../../test/support/endpoints.ts';
import { makeTestAuthority, type TestLeaf } from '../../test/support/test-authority.ts';
import { Secret } from '../core/secrets/secret.ts';
import { encodePem } from '../core/x509/pem.ts';
import { connectClient, ServerRefusal, UnreachableServer } from './client.ts';

const authority = makeTestAuthority(Date.now());
const rootPem = encodePem('CERTIFICATE', authority.root.der);
const CONTROL_PLANE = 'spiffe://acme.test/production/countersign/control-plane';
const good: TestLeaf = { uris: [CONTROL_PLANE], ips: ['127.0.0.1'], usages: ['server'] };
const TOKEN = 'cs_the-token-of-this-test';

/** A TLS server that says `answer` to everything; `heard` is what came to it, decrypted. */
async function openServer(
  credential: { readonly key: string; readonly cert: string },
  answer: string,
  version: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
) {
  const open = new Set<Socket>();
  const heard: Buffer[] = [];
  const server = createServer({ ...credential, minVersion: version, maxVersion: version }, (socket: TLSSocket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      heard.push(chunk);
      socket.end(answer);
    });
  });
  const ended: Promise<unknown>[] = [];
  server.on('tlsClientError', () => undefined);
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    ended.push(once(socket, 'close').then(() => open.delete(socket)));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`),
    /** Everything that arrived on the connections so far, once they are over. */
    heard: async () => {
      await Promise.all(ended);
      return Buffer.concat(heard).toString();
    },
    connections: () => ended.length,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function reply(status: number, body: string, type = 'application/json'): string {
  return `HTTP/1.1 ${status} X\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
}

const clientOf = (server: URL, pem = rootPem) => connectClient({ server, rootPem: pem, token: new Secret(TOKEN) });

describe('the client of the REST interface', () => {
  test('asks the control plane of its root, with its token in the header', async () => {
    await using server = await openServer(pemOf(authority.issue(good)), reply(200, '{"a":1}'));
    assert.deepEqual(await clientOf(server.url).post('/v1/things', { name: 'x' }), { a: 1 });
    const heard = await server.heard();
    assert.match(heard, /^POST \/v1\/things HTTP\/1\.1\r\n/);
    assert.match(heard, new RegExp(`authorization: Bearer ${TOKEN}\r\n`, 'i'));
  });

  const stranger = makeTestAuthority(Date.now(), 'Stranger');
  const strangers = [
    { name: 'a service of the right CA', credential: authority.issue({ ...good, uris: ['spiffe://acme.test/production/orders'] }) },
    { name: 'the probe identity', credential: authority.issue({ ...good, uris: ['spiffe://acme.test/production/countersign/probe'] }) },
    { name: 'a name that only begins like it', credential: authority.issue({ ...good, uris: [`${CONTROL_PLANE}/x`] }) },
    { name: 'two SPIFFE IDs', credential: authority.issue({ ...good, uris: [CONTROL_PLANE, 'spiffe://acme.test/production/orders'] }) },
    { name: 'no SPIFFE ID, but the right address', credential: authority.issue({ ips: ['127.0.0.1'], dnsNames: ['localhost'] }) },
    {
      name: 'an expired certificate',
      credential: authority.issue({ ...good, notBefore: Date.now() - 7_200_000, notAfter: Date.now() - 3_600_000 }),
    },
    { name: 'a certificate for clients', credential: authority.issue({ ...good, usages: ['client'] }) },
    { name: 'the right name by another CA', credential: stranger.issue(good) },
  ];
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
    for (const { name, credential } of strangers) {
      test(`sends ${name} no octet, over ${version}`, async () => {
        await using server = await openServer(pemOf(credential), reply(200, '{}'), version);
        await assert.rejects(clientOf(server.url).post('/v1/things', { secret: 'body' }), UnreachableServer);
        assert.equal(await server.heard(), '');
        assert.equal(server.connections(), 1, 'it did connect');
      });
    }
  }

  test('says what it saw instead of a control plane, and not its token', async () => {
    await using server = await openServer(pemOf(strangers[0]!.credential), reply(200, '{}'));
    const error = await clientOf(server.url)
      .get('/v1/things')
      .catch((caught: Error) => caught);
    assert.match(String(error), /spiffe:\/\/acme\.test\/production\/orders, expected a control plane/);
    assert.equal(JSON.stringify([String(error), (error as Error).stack]).includes(TOKEN), false);
  });

  test('says of a closed port, of plaintext and of a broken connection that the server is unreachable', async () => {
    const closed = await closedAddress();
    await using plain = await openTcpEndpoint((socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n')));
    await using breaking = await openTcpEndpoint((socket) => socket.once('data', () => socket.destroy()));
    for (const { port } of [closed, plain.address, breaking.address])
      await assert.rejects(clientOf(new URL(`https://127.0.0.1:${port}`)).get('/'), UnreachableServer);
  });

  test('tells a refusal by its code, detail and reasons', async () => {
    const body = JSON.stringify({ code: 'issuance-refused', detail: 'Cannot issue', reasons: ['one', 'two'] });
    await using server = await openServer(pemOf(authority.issue(good)), reply(403, body, 'application/problem+json'));
    const error = await clientOf(server.url)
      .get('/')
      .catch((caught: unknown) => caught);
    assert.ok(error instanceof ServerRefusal);
    assert.deepEqual([error.code, error.message], ['issuance-refused', 'Cannot issue\n  - one\n  - two']);
  });

  test('takes a refusal that is not of the documented form for an unknown one', async () => {
    for (const body of [
      '',
      '<html>',
      '{}',
      '[]',
      'null',
      '{"code":"no-such-code","detail":"x"}',
      '{"code":7,"detail":{"a":1},"reasons":"no list"}',
    ]) {
      await using server = await openServer(pemOf(authority.issue(good)), reply(500, body));
      const error = await clientOf(server.url)
        .get('/')
        .catch((caught: unknown) => caught);
      assert.ok(error instanceof ServerRefusal, body);
      assert.equal(error.code, 'unknown', body);
      assert.equal(typeof error.message, 'string', body);
    }
  });

  test('says of an answer that breaks off, or is no JSON, that the server could not be read', async () => {
    const cut = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a"';
    for (const answer of [cut, reply(200, '<html>'), 'nonsense\r\n\r\n']) {
      await using server = await openServer(pemOf(authority.issue(good)), answer);
      await assert.rejects(clientOf(server.url).get('/'), UnreachableServer, answer);
    }
  });

  test('takes no more than it has room for', async () => {
    const head = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n';
    await using server = await openServer(pemOf(authority.issue(good)), `${head}"${'x'.repeat(70_000_000)}"`);
    await assert.rejects(clientOf(server.url).get('/'), UnreachableServer);
  });
});
