import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import { type Ended } from '../../test/support/command-line.ts';
import { exitCodes } from './exit-codes.ts';

const worker = new Worker(join(import.meta.dirname, '../../test/support/command-worker.ts'));
after(() => worker.terminate());
const folder = mkdtempSync(join(tmpdir(), 'countersign-render-'));
after(() => rmSync(folder, { recursive: true, force: true }));

writeFileSync(
  join(folder, 'fleet.yaml'),
  `apiVersion: countersign/v1
kind: Policy
name: strict
tls: { minimumVersion: "1.3", groups: [X25519] }
http: { hsts: { maxAgeSeconds: 31536000 } }
---
apiVersion: countersign/v1
kind: Policy
name: hybrid
tls: { groups: [X25519MLKEM768] }
---
apiVersion: countersign/v1
kind: Endpoint
name: orders-api
service: orders
protocol: http
addresses: ["127.0.0.1:9101"]
owner: commerce
policy: strict
allowedCallers: [storefront, "spiffe://acme.example/production/billing"]
---
apiVersion: countersign/v1
kind: Endpoint
name: orders-narrow
service: orders
protocol: http
addresses: ["127.0.0.1:9101"]
owner: commerce
allowedCallers: [storefront]
routes: [{ path: "/admin/**", callers: [] }]
---
apiVersion: countersign/v1
kind: Endpoint
name: orders-rpc
service: orders
protocol: grpc
addresses: ["127.0.0.1:9101"]
owner: commerce
`,
);

const file = ['--file', join(folder, 'fleet.yaml')];
const endpoint = ['--endpoint', 'orders-api', ...file, '--trust-domain', 'acme.example', '--environment', 'production'];
const tls = [
  '--names',
  'orders.acme.example',
  '--listen',
  '0.0.0.0:8443',
  '--certificate',
  '/etc/tls/orders.pem',
  '--key',
  '/etc/tls/orders.pem.key',
];
const clients = ['--client-trust', '/etc/tls/clients.pem', '--crl', '/etc/tls/lists.pem', '--crl-of', 'path'];
const upstream = ['--upstream', 'http://127.0.0.1:8080'];
const most = [...tls, ...clients, ...upstream];

/** Runs `policy render` without a process for each. */
async function render(...argv: string[]): Promise<Ended> {
  const answer = once(worker, 'message') as Promise<[Ended]>;
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  worker.postMessage(['policy', 'render', ...argv]);
  return (await answer)[0];
}

let count = 0;
const out = (): string => join(folder, `rendered-${++count}`);

describe('policy render', () => {
  test('writes an endpoint of a file of declarations, asking nobody, with the script beside it', async () => {
    const [name] = [out()];
    const { code, stdout, stderr } = await render('haproxy', ...endpoint, ...most, '--out', name);
    assert.equal(code, exitCodes.ok.code, stderr);
    assert.match(stdout, new RegExp(`^written to ${name}\nwritten to ${folder}/countersign-caller\\.lua\n$`));
    const text = readFileSync(name, 'utf8');
    assert.match(
      text,
      /from endpoint orders-api under policy strict \(sha256 [0-9a-f]{16}\), for haproxy 2\.6\.12 on OpenSSL 3\.0, mode enforce/,
    );
    assert.match(text, /-m str spiffe:\/\/acme\.example\/production\/storefront\n/);
    assert.match(text, /-m str spiffe:\/\/acme\.example\/production\/billing\n/);
    assert.match(text, /ssl-min-ver TLSv1\.3 ssl-max-ver TLSv1\.3 curves X25519 /);
    assert.ok(text.includes(`lua-load ${folder}/countersign-caller.lua\n`));
    assert.match(readFileSync(join(folder, 'countersign-caller.lua'), 'utf8'), /core\.register_fetches\('countersign_caller'/);
    assert.equal(statSync(name).mode & 0o777, 0o600);
    assert.match(stderr, /^not enforced: handshakes-per-address: /m);
  });

  test('overwrites nothing', async () => {
    const name = out();
    writeFileSync(name, 'mine');
    const { code, stderr } = await render('envoy', ...endpoint, ...most, '--out', name);
    assert.equal(code, exitCodes.usage.code);
    assert.match(stderr, /expected a name that is not taken/);
    assert.equal(readFileSync(name, 'utf8'), 'mine');
  });

  test('writes to stdout where there is one file, and as JSON', async () => {
    const { code, stdout } = await render('envoy', ...endpoint, ...most);
    assert.equal(code, exitCodes.ok.code);
    assert.match(stdout, /^# Written by [^]*\nstatic_resources:\n/);
    const json = JSON.parse((await render('envoy', ...endpoint, ...most, '--json')).stdout) as {
      gaps: { demand: string }[];
      files: { text: string }[];
    };
    assert.equal(json.files[0]!.text, stdout);
    assert.ok(json.gaps.some(({ demand }) => demand === 'client-cert-chain'));
    const two = await render('haproxy', ...endpoint, ...most, '--script', '/etc/haproxy/caller.lua');
    assert.equal(two.code, exitCodes.usage.code);
    assert.match(two.stderr, /--out is missing/);
  });

  test('refuses what lets somebody in, until it was accepted by its name', async () => {
    const refusals = [
      [['nginx', ...endpoint, ...most], 'callers'],
      [['caddy', ...endpoint, ...most], 'revocation'],
      [['envoy', '--endpoint', 'orders-narrow', ...endpoint.slice(2), ...most], 'routes'],
    ] as const;
    for (const [argv, demand] of refusals) {
      const name = out();
      const { code, stdout, stderr } = await render(...argv, '--out', name);
      assert.deepEqual([code, stdout], [exitCodes.no.code, '']);
      assert.match(stderr, new RegExp(`^not enforced \\(lets in who should not be\\): ${demand}: `, 'm'));
      assert.match(stderr, new RegExp(`nothing was written: --accept ${demand} takes it as it is\n$`));
      assert.equal(existsSync(name), false);
      assert.equal((await render(...argv, '--out', name, '--accept', demand)).code, exitCodes.ok.code);
      assert.ok(readFileSync(name, 'utf8').includes(`${demand}: `));
    }
  });

  test('with --strict writes nothing while anything is left open that was not accepted', async () => {
    const argv = ['haproxy', ...endpoint, ...most, '--strict', '--out', out(), '--script', '/etc/haproxy/caller-2.lua'];
    const { code, stdout, stderr } = await render(...argv);
    assert.deepEqual([code, stdout], [exitCodes.partial.code, '']);
    const accepted = /--accept (\S+) takes/.exec(stderr)![1]!;
    const second = await render(...argv, '--accept', accepted);
    assert.equal(second.code, exitCodes.ok.code, second.stderr);
    assert.match(second.stderr, /not enforced: signatures/);
  });

  test('refuses by name a policy of hybrid groups alone for a version without them', async () => {
    const argv = ['--policy', 'hybrid', ...file, '--callers', 'any', ...most, '--script', '/etc/caller'];
    const { code, stderr } = await render('nginx', ...argv, '--for-version', '1.22.1');
    assert.equal(code, exitCodes.usage.code);
    assert.match(
      stderr,
      /Cannot render groups: "X25519MLKEM768", expected of X25519, P-256, P-384, which is all that nginx 1\.22\.1 on OpenSSL 3\.0 speaks/,
    );
    const newer = await render('nginx', ...argv, '--for-version', '1.29.0', '--openssl', '3.5', '--json');
    assert.equal(newer.code, exitCodes.ok.code, newer.stderr);
    assert.match(newer.stdout, /ssl_ecdh_curve X25519MLKEM768;/);
    assert.match(newer.stdout, /http2 on;/);
  });

  test('says what is missing, or means nothing', async () => {
    const wrong = [
      [['squid', ...endpoint, ...most], /expected nginx, haproxy, caddy, envoy, node/],
      [[...endpoint, ...most], /error: missing required|expected nginx/],
      [['node', ...file, ...tls], /--endpoint, or --policy/],
      [['node', ...endpoint, '--policy', 'strict', ...tls], /--endpoint, or --policy/],
      [['node', '--policy', 'strict', ...file, ...tls, ...clients], /--callers is missing/],
      [['node', ...endpoint, '--callers', 'any', ...tls, ...clients], /--callers beside --endpoint/],
      [['node', '--endpoint', 'orders-api', ...file, ...tls, ...clients], /--trust-domain and --environment are missing/],
      [['node', '--endpoint', 'none', ...file, ...tls], /there is none of that name/],
      [['node', '--endpoint', 'orders-rpc', ...file, ...tls], /its protocol is grpc, expected http/],
      [['node', ...endpoint, ...tls, ...clients, '--mode', 'audit'], /expected observe, permissive, enforce/],
      [['node', ...endpoint, ...tls, ...clients, '--clients', 'some'], /expected certified or anonymous/],
      [['node', ...endpoint, ...tls, ...clients, '--accept', 'all'], /--accept all, expected versions, /],
      [['node', ...endpoint, ...tls], /--client-trust/],
      [['node', ...endpoint, ...tls, ...clients, '--clients', 'anonymous'], /none with --clients anonymous/],
      [['envoy', ...endpoint, ...tls, ...clients, '--upstream', 'http://127.0.0.1:80\n}'], /IP:PORT/],
      [['envoy', ...endpoint, ...most, '--names', 'a.example; evil'], /DNS name/],
    ] as const;
    for (const [argv, expected] of wrong) {
      const { code, stdout, stderr } = await render(...argv);
      assert.deepEqual([code, stdout], [exitCodes.usage.code, ''], argv.join(' '));
      assert.match(stderr, expected);
    }
  });
});
