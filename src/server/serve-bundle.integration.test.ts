import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { goSpiffe, missingGoSpiffe } from '../../test/support/go-spiffe.ts';
import { missing } from '../../test/support/peer-program.ts';
import { sClient } from '../../test/support/s-client.ts';
import { makeTestAuthority } from '../../test/support/test-authority.ts';
import { encodePem } from '../core/x509/pem.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { parseServerConfig } from '../platform/config/server-config.ts';
import { type RunningServer, startServer } from '../server.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-bundle-'));
const web = makeTestAuthority(Date.now(), 'Web');
const file = (name: string): string => join(folder, name);
const lines = [
  'dataDirectory: data',
  'keyFile: kek',
  'trustDomain: acme.example',
  'listen:',
  ...['admin', 'dataPlane', 'public', 'bundleSpiffe', 'bundleWeb'].map((name) => `  ${name}: "127.0.0.1:0"`),
  'federation: {certificateFile: web.pem, keyFile: web.key}',
];
const start = () => startServer({ config: parseServerConfig(lines.join('\n'), folder), clock: systemClock, log: () => {} });
let server: RunningServer;
const spiffeUrl = (): string => `https://127.0.0.1:${server.addresses.bundleSpiffe!.port}/`;
const webUrl = (): string => `https://127.0.0.1:${server.addresses.bundleWeb!.port}/`;
const ENDPOINT = 'spiffe://acme.example/production/countersign/control-plane';

before(async () => {
  const { chain, key } = web.issue({ ips: ['127.0.0.1'], usages: ['server'] });
  writeFileSync(file('web.pem'), chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
  writeFileSync(file('web.key'), key.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(file('roots.pem'), encodePem('CERTIFICATE', web.root.der));
  server = await start();
  writeFileSync(file('bundle.json'), (await ask(webUrl())).body);
});
after(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Whom the server is, go-spiffe judges; here it is asked what it answers. */
async function ask(url: string, options: { readonly method?: string; readonly headers?: { readonly [name: string]: string } } = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<import('node:http').IncomingMessage>();
  request(url, { ...options, rejectUnauthorized: false, agent: false }, resolve)
    .on('error', reject)
    .end();
  const answer = await promise;
  return { status: answer.statusCode!, headers: answer.headers, body: await text(answer) };
}

test('the bundle endpoint serves the root alone, cacheable, and says unchanged to who has it', async () => {
  const { status, headers, body } = await ask(spiffeUrl());
  assert.equal(status, 200);
  assert.match(headers['content-type']!, /^application\/json/);
  assert.equal(headers['cache-control'], 'public, max-age=60');
  const { keys, spiffe_sequence: sequence, spiffe_refresh_hint: hint } = JSON.parse(body);
  assert.equal(keys.length, 1);
  assert.equal(new X509Certificate(Buffer.from(keys[0].x5c[0], 'base64')).fingerprint256, new X509Certificate(rootPem()).fingerprint256);
  assert.equal(hint, 300);
  assert.ok(sequence >= 1);
  assert.deepEqual(await ask(webUrl()).then((found) => found.body), body);
  assert.equal((await ask(spiffeUrl(), { headers: { 'if-none-match': headers.etag! } })).status, 304);
  assert.equal((await ask(spiffeUrl(), { method: 'HEAD' })).body, '');
});

const rootPem = (): string => readFileSync(file('data/root.pem'), 'utf8');

test('the bundle endpoint refuses other methods and paths, and plaintext', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) assert.equal((await ask(spiffeUrl(), { method })).status, 405);
  for (const path of ['bundle', '?x', '/', 'v1/services']) assert.equal((await ask(`${spiffeUrl()}${path}`)).status, 404);
  const socket = connect(server.addresses.bundleSpiffe!.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  assert.doesNotMatch(await text(socket), /200 OK/);
});

test(
  'the bundle endpoint shows the SVID of the control plane and asks nobody for a certificate',
  { skip: missing('openssl') },
  async () => {
    const { port } = server.addresses.bundleSpiffe!;
    const said = await sClient(port, ['-msg', '-showcerts']);
    assert.match(said, /Handshake.*Certificate/);
    assert.doesNotMatch(said, /CertificateRequest/);
    const leaf = new X509Certificate(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(said)![0]);
    assert.match(leaf.subjectAltName!, new RegExp(`URI:${ENDPOINT}`));
  },
);

test('the sequence never falls over a restart, and the bundle stays octet for octet', async () => {
  const first = (await ask(spiffeUrl())).body;
  await server[Symbol.asyncDispose]();
  server = await start();
  assert.equal((await ask(spiffeUrl())).body, first);
});

test('a certificate file without its key file, or with another key, is told at the start', async () => {
  assert.throws(() => parseServerConfig(lines.join('\n').replace(', keyFile: web.key', ''), folder), { code: 'input-invalid' });
  const config = parseServerConfig(lines.join('\n').replace('web.key', 'roots.pem'), folder);
  const at = mkdtempSync(join(folder, 'other-'));
  const other = { ...config, dataDirectory: join(at, 'data'), database: `sqlite:${join(at, 'db')}` };
  const key = { kind: 'file', path: join(at, 'kek') } as const;
  await assert.rejects(startServer({ config: { ...other, key }, clock: systemClock, log: () => {} }), { code: 'input-invalid' });
});

test('go-spiffe reads our bundle and fetches it by both profiles', { skip: missingGoSpiffe }, async () => {
  const td = 'acme.example';
  const parsed = await goSpiffe('parse', { td, file: file('bundle.json') });
  const byWeb = await goSpiffe('fetch-web', { td, url: webUrl(), roots: file('roots.pem') });
  const bundles = `acme.example=${file('bundle.json')}`;
  const bySpiffe = await goSpiffe('fetch-spiffe', { td, url: spiffeUrl(), id: ENDPOINT, bundles });
  assert.equal(parsed.kind, 'answer', JSON.stringify(parsed));
  assert.equal(parsed.kind === 'answer' && parsed.json.hintSeconds, 300);
  assert.equal(parsed.kind === 'answer' && parsed.json.authorities.length, 1);
  assert.deepEqual(byWeb, parsed);
  assert.deepEqual(bySpiffe, parsed);
});

test('go-spiffe refuses our endpoint under another id, another trust domain and web roots', { skip: missingGoSpiffe }, async () => {
  const td = 'acme.example';
  const bundles = `acme.example=${file('bundle.json')}`;
  const url = spiffeUrl();
  const refusals = [
    await goSpiffe('fetch-spiffe', { td, url, id: 'spiffe://acme.example/production/orders', bundles }),
    await goSpiffe('fetch-spiffe', { td, url, id: ENDPOINT, bundles: `other.example=${file('bundle.json')}` }),
    await goSpiffe('fetch-web', { td, url, roots: file('roots.pem') }),
    await goSpiffe('fetch-spiffe', { td, url: webUrl(), id: ENDPOINT, bundles }),
  ];
  for (const refusal of refusals) assert.equal(refusal.kind, 'refused', JSON.stringify(refusal));
});
