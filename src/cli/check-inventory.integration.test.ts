import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Ended, runCommand, startServerProcess, writeServerConfig } from '../../test/support/command-line.ts';
import { goodEndpoint } from '../../test/support/faulty-fleet.ts';
import { TlsServers } from '../../test/support/tls-servers.ts';
import type { CheckReport } from '../core/findings/check-report.ts';
import { encodePem } from '../core/x509/pem.ts';
import { exitCodes } from './exit-codes.ts';

const folder = await mkdtemp(join(tmpdir(), 'countersign-inventory-'));
const servers = await TlsServers.open();
const server = await startServerProcess(writeServerConfig(folder));
after(async () => {
  await server.stop();
  await servers[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const file = (name: string): string => join(folder, name);
const where = ['--server', `https://${server.addresses.admin}`, '--root', file('data/root.pem')];
const token = ['--token-file', file('ada.token')];
const root = encodePem('CERTIFICATE', servers.authority.root.der);
const run = (...args: readonly string[]): Promise<Ended> => runCommand([...args, ...where, ...token]);
let port = 0;

before(async () => {
  port = await goodEndpoint(servers);
  await writeFile(file('fleet-root.pem'), root);
  await runCommand([
    'token',
    'exchange',
    ...where,
    '--bootstrap-file',
    file('data/bootstrap.token'),
    '--name',
    'ada',
    '--out',
    file('ada.token'),
  ]);
  const endpoint = (name: string, more: readonly string[]): string =>
    document([
      'kind: Endpoint',
      `name: ${name}`,
      'service: shop',
      'protocol: http',
      `addresses: ["127.0.0.1:${port}"]`,
      'owner: shop',
      ...more,
    ]);
  const external = [
    'external:',
    '  serverName: localhost',
    '  anchorsPem: |',
    ...root
      .trimEnd()
      .split('\n')
      .map((line) => `    ${line}`),
  ];
  const fleet = [
    document(['kind: Policy', 'name: strict', 'tls: { minimumVersion: "1.3" }']),
    document(['kind: Service', 'name: shop', 'owner: shop']),
    endpoint('shop-api', ['exposure: internal', 'allowedCallers: []']),
    endpoint('processor', ['exposure: public', 'allowedCallers: [shop]', ...external]),
    endpoint('processor-strict', ['exposure: public', 'allowedCallers: [shop]', 'policy: strict', ...external]),
  ];
  await writeFile(file('fleet.yaml'), fleet.join('\n---\n'));
  const applied = await run('apply', '-f', file('fleet.yaml'), '--yes');
  assert.equal(applied.code, exitCodes.ok.code, applied.stderr);
});

function document(lines: readonly string[]): string {
  return ['apiVersion: countersign/v1', ...lines].join('\n');
}

test('check --inventory holds every address against the policy, identity and anchors of its endpoint', async () => {
  const { stdout, code, stderr } = await run('check', '--inventory', '--severity', 'low', '--json');
  assert.equal(code, exitCodes.no.code, stderr);
  const { targets } = JSON.parse(stdout) as CheckReport;
  const found = targets.map(({ target, outcome }) => [
    target,
    outcome.kind === 'judged' ? outcome.findings.map(({ rule }) => rule).toSorted() : outcome.because,
  ]);
  assert.deepEqual(Object.fromEntries(found), {
    // One of ours has to prove its SPIFFE ID by a chain of our own root, and this is a stranger.
    [`production/shop-api@127.0.0.1:${port}`]: ['chain-untrusted', 'name-mismatch'],
    [`production/processor@127.0.0.1:${port}`]: [],
    [`production/processor-strict@127.0.0.1:${port}`]: ['version-not-allowed'],
  });
});

test('check takes a policy of the control plane by its name', async () => {
  const anchors = ['--anchors', file('fleet-root.pem')];
  const strict = await run('check', `localhost:${port}`, ...anchors, '--policy-name', 'strict');
  assert.equal(strict.code, exitCodes.no.code);
  assert.match(strict.stdout, /version-not-allowed/);
  assert.equal((await run('check', `localhost:${port}`, ...anchors)).code, exitCodes.ok.code);
  const nobody = await run('check', `localhost:${port}`, ...anchors, '--policy-name', 'lax');
  assert.deepEqual([nobody.code, /policy lax: there is none/.test(nobody.stderr)], [exitCodes.usage.code, true]);
});

test('check --inventory without a token is refused with 3, and of a server that is away ends with 4', async () => {
  const refused = await runCommand(['check', '--inventory', ...where]);
  assert.deepEqual([refused.code, refused.stdout], [exitCodes.refused.code, '']);
  const away = await runCommand(['check', '--inventory', '--server', 'https://127.0.0.1:1', '--root', file('data/root.pem'), ...token]);
  assert.equal(away.code, exitCodes.unreachable.code);
});
