import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { ManualClock } from '../src/platform/clock/clock.ts';
import { calls, named, serves } from '../test/support/sdk-lab.ts';
import { startTestControlPlane } from '../test/support/test-control-plane.ts';
import { buildSdk } from './build-sdk.ts';

const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'countersign-sdk-alone-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A package of node_modules with all that it depends on, by folder. */
function withDependencies(name: string, from: string, found = new Map<string, string>()): ReadonlyMap<string, string> {
  const manifest = createRequire(join(from, 'index.js'))
    .resolve.paths(name)!
    .map((path) => join(path, name, 'package.json'))
    .find((file) => statSync(file, { throwIfNoEntry: false }) !== undefined)!;
  if (found.has(name)) return found;
  found.set(name, dirname(manifest));
  const { dependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly dependencies?: object };
  for (const next of Object.keys(dependencies)) withDependencies(next, dirname(manifest), found);
  return found;
}

function npm(cwd: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('npm', [...args], { cwd, encoding: 'utf8' });
  assert.equal(status, 0, `npm ${args[0]}: ${stderr}${stdout}`);
  return stdout;
}

const alone = join(folder, 'alone');

before(() => {
  const built = join(folder, 'sdk');
  buildSdk(built);
  const { dependencies } = JSON.parse(readFileSync(join(built, 'package.json'), 'utf8')) as { readonly dependencies: object };
  const needed = new Map<string, string>();
  for (const name of Object.keys(dependencies)) withDependencies(name, root, needed);
  // Packed from node_modules, so that the install asks no registry.
  const packed = join(folder, 'packed');
  mkdirSync(packed);
  npm(folder, 'pack', '--ignore-scripts', '--silent', '--pack-destination', packed, built, ...needed.values());
  mkdirSync(alone);
  writeFileSync(join(alone, 'package.json'), JSON.stringify({ name: 'some-service', version: '1.0.0', type: 'module', private: true }));
  const tarballs = readdirSync(packed).map((name) => join(packed, name));
  npm(alone, 'install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', ...tarballs);
});

function octetsOf(path: string): number {
  return globSync('**/*', { cwd: path }).reduce((sum, name) => {
    const facts = statSync(join(path, name));
    return facts.isFile() ? sum + facts.size : sum;
  }, 0);
}

test('the SDK installs alone, and is small beside Node and grpc-js', () => {
  const modules = join(alone, 'node_modules');
  const ofGrpc = withDependencies('@grpc/grpc-js', root);
  const others = globSync(['*', '@*/*'], { cwd: modules }).filter(
    (name) => !name.startsWith('.') && !/^@[^/]+$/.test(name) && !ofGrpc.has(name),
  );
  assert.deepEqual(others.toSorted(), ['@bufbuild/protobuf', 'countersign-sdk', 'undici']);
  const octets = others.reduce((sum, name) => sum + octetsOf(join(modules, name)), 0);
  assert.ok(octets < 5_000_000, `${octets} octets`);
});

test('its types are whole', () => {
  writeFileSync(
    join(alone, 'typed.ts'),
    `import { identityOf, open, type Caller } from 'countersign-sdk';
await using countersign = await open({ control: '127.0.0.1:1', state: 'state' });
countersign.createServer({ endpoint: 'stock' }, (request, response) => {
  const { spiffeId }: Caller = identityOf(request);
  response.end(spiffeId);
});
// @ts-expect-error there is no such option
await open({ control: '127.0.0.1:1', state: 'state', insecure: true });
`,
  );
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/typescript/bin/tsc'), '--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--target', 'esnext',
      '--types', 'node', '--typeRoots', join(root, 'node_modules/@types'), '--lib', 'esnext', 'typed.ts',
    ], // prettier-ignore
    { cwd: alone, encoding: 'utf8' },
  );
  assert.equal(status, 0, stdout);
});

async function start(file: string, text: string): Promise<ChildProcess> {
  writeFileSync(join(alone, file), text);
  const child = fork(join(alone, file), { cwd: alone, execArgv: [] });
  after(() => child.kill('SIGKILL'));
  return child;
}

test('two services that have nothing but the package prove themselves to each other', async () => {
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  const [stock, orders] = [await control.joined('stock'), await control.joined('orders')];
  const open = (state: string): string =>
    `const countersign = await open({ control: '127.0.0.1:${control.port}', state: ${JSON.stringify(state)} });`;
  control.setSettings(stock.proxyId, named('stock'), 1n, { inbound: [serves('stock', 'enforce')] });
  const server = await start(
    'stock.js',
    `import { identityOf, open } from 'countersign-sdk';
${open(stock.state.path)}
const server = countersign.createServer({ endpoint: 'stock' }, (request, response) => response.end(identityOf(request).spiffeId));
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
process.on('message', async () => { await countersign.close(0); process.exit(); });`,
  );
  const [port] = (await once(server, 'message')) as [number];
  control.setSettings(orders.proxyId, named('orders'), 1n, { outbound: [calls('stock', [port])] });
  const client = await start(
    'orders.js',
    `import { open } from 'countersign-sdk';
${open(orders.state.path)}
const response = await countersign.fetch('https://stock/');
process.send(await response.text());
await countersign.close(0);`,
  );
  const [answer] = (await once(client, 'message')) as [string];
  assert.equal(answer, named('orders'));
  await once(client, 'exit');
  server.send('end');
  await once(server, 'exit');
});
