import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import {
  cpSync,
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type Ended, runCommand, type ServerProcess, startServerProcess, writeServerConfig } from '../../test/support/command-line.ts';
import { buildCertificateRequest } from '../core/x509/certificate-request.ts';
import { parseCertificate } from '../core/x509/certificate.ts';
import { decodePem, encodePem } from '../core/x509/pem.ts';
import { exitCodes } from './exit-codes.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-cli-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const newFolder = (): string => mkdtempSync(join(scratch, 'f-'));

type Json = { readonly [name: string]: any };

/** The command line against one running control plane, with the token of `ada` once there is one. */
function commandsOf(server: ServerProcess, folder: string, tokenFile: string) {
  const where = ['--server', `https://${server.addresses.admin}`, '--root', join(folder, 'data/root.pem')];
  const run = (...argv: string[]): Promise<Ended> => runCommand([...argv, ...where, '--token-file', tokenFile]);
  return {
    run,
    where,
    async json(...argv: string[]): Promise<Json> {
      const { code, stdout, stderr } = await run(...argv, '--json');
      assert.equal(code, exitCodes.ok.code, stderr);
      return JSON.parse(stdout) as Json;
    },
  };
}

function writeRequest(folder: string, names: Parameters<typeof buildCertificateRequest>[0]): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const file = join(folder, `${Object.keys(names).join()}.csr`);
  writeFileSync(file, encodePem('CERTIFICATE REQUEST', buildCertificateRequest(names, privateKey)));
  return file;
}

test('the command line takes a control plane from its first start to a verified log', async (context) => {
  const folder = newFolder();
  const file = (name: string): string => join(folder, name);
  await using server = await startServerProcess(writeServerConfig(folder));
  const tokenFile = file('ada.token');
  const { run, json, where } = commandsOf(server, folder, tokenFile);
  const bootstrap = file('data/bootstrap.token');
  const exchange = (from: string, out: string): Promise<Ended> =>
    runCommand(['token', 'exchange', ...where, '--bootstrap-file', from, '--name', 'ada', '--out', out]);

  await context.test('the bootstrap token is for its owner only, works once, and its file is gone afterwards', async () => {
    assert.equal(statSync(bootstrap).mode & 0o777, 0o600);
    const copy = file('copy.token');
    cpSync(bootstrap, copy);
    writeFileSync(file('taken'), 'kept');
    assert.equal((await exchange(bootstrap, file('taken'))).code, exitCodes.usage.code);
    assert.deepEqual([existsSync(bootstrap), readFileSync(file('taken'), 'utf8')], [true, 'kept'], 'nothing is lost to a taken name');
    const { code, stdout } = await exchange(bootstrap, tokenFile);
    const token = readFileSync(tokenFile, 'utf8').trim();
    assert.equal(code, exitCodes.ok.code);
    assert.equal(stdout.includes(token), false);
    assert.deepEqual([existsSync(bootstrap), statSync(tokenFile).mode & 0o777], [false, 0o600]);
    const again = await exchange(copy, file('second.token'));
    assert.deepEqual(
      [again.code, /\[token-refused\]/.test(again.stderr), existsSync(file('second.token'))],
      [exitCodes.refused.code, true, false],
    );
  });

  await context.test('no token and a wrong one are refused, with the code of the problem', async () => {
    writeFileSync(file('wrong.token'), 'cs_nobody\n');
    for (const given of [[], ['--token-file', file('wrong.token')]]) {
      const { code, stderr } = await runCommand(['cert', 'list', ...where, ...given, '--json']);
      assert.equal(code, exitCodes.refused.code);
      assert.equal((JSON.parse(stderr) as Json)['error'].code, 'unauthenticated');
    }
  });

  await context.test('another root is another control plane: exit code 4', async () => {
    const other = newFolder();
    const made = await runCommand(['ca', 'init', '--config', writeServerConfig(other)]);
    assert.equal(made.code, exitCodes.ok.code, made.stderr);
    const show = await runCommand(['ca', 'show', '--out', join(other, 'root.pem'), ...where, '--token-file', tokenFile]);
    assert.equal(show.code, exitCodes.ok.code, show.stderr);
    assert.match(show.stdout, /^authority_\w+ +root +[0-9a-f]{64} /m);
    assert.equal(readFileSync(join(other, 'root.pem'), 'utf8'), readFileSync(file('data/root.pem'), 'utf8'));
    const first = await startServerProcess(join(other, 'countersign.yaml'));
    const { code } = await runCommand([
      'ca',
      'show',
      ...where.slice(0, 2),
      '--root',
      join(other, 'data/root.pem'),
      '--token-file',
      tokenFile,
    ]);
    await first.stop();
    assert.equal(code, exitCodes.unreachable.code);
  });

  let serial = '';
  await context.test('a certificate is issued, listed and revoked; a refusal names its reasons', async () => {
    const csr = writeRequest(folder, { uris: ['spiffe://acme.example/production/orders'] });
    const issued = await json('cert', 'issue', '--csr', csr, '--profile', 'workload', '--out', file('orders.pem'));
    serial = issued['serial'] as string;
    const [leaf] = decodePem(readFileSync(file('orders.pem'), 'utf8'), 'CERTIFICATE').map((der) => parseCertificate(der));
    assert.equal(leaf!.serialHex, serial);
    const table = await run('cert', 'list', '--identity', 'spiffe://acme.example/production/orders');
    assert.match(table.stdout, new RegExp(`^${serial} +spiffe://acme\\.example/production/orders .*\\bworkload +rest +issued `, 'm'));
    const revoked = await run('cert', 'revoke', serial, '--reason', 'keyCompromise');
    assert.equal(revoked.code, exitCodes.ok.code, revoked.stderr);
    const twice = await run('cert', 'revoke', serial, '--reason', 'keyCompromise', '--json');
    assert.ok([exitCodes.ok.code, exitCodes.refused.code].some((code) => code === twice.code));
    const reserved = writeRequest(folder, { uris: ['spiffe://acme.example/production/countersign/probe'] });
    const refused = await run('cert', 'issue', '--csr', reserved, '--profile', 'workload', '--out', file('probe.pem'));
    assert.equal(refused.code, exitCodes.refused.code);
    assert.match(refused.stderr, /\[issuance-refused\]/);
    assert.equal(existsSync(file('probe.pem')), false);
  });

  await context.test('tokens, identities and an inventory by declaration', async () => {
    assert.equal(
      (await run('token', 'create', '--name', 'aud', '--role', 'auditor', '--out', file('auditor.token'))).code,
      exitCodes.ok.code,
    );
    const mayNot = await runCommand([
      'identity',
      'suspend',
      'spiffe://acme.example/production/orders',
      ...where,
      '--token-file',
      file('auditor.token'),
    ]);
    assert.deepEqual([mayNot.code, /\[forbidden\]/.test(mayNot.stderr)], [exitCodes.refused.code, true]);
    const suspend = await run('identity', 'suspend', 'spiffe://acme.example/production/orders', '--reason', 'key leaked');
    assert.equal(suspend.code, exitCodes.ok.code, suspend.stderr);
    assert.equal(
      (await run('identity', 'resume', 'spiffe://acme.example/production/orders', '--reason', 're-keyed')).code,
      exitCodes.ok.code,
    );
    const declaration = file('fleet.yaml');
    writeFileSync(declaration, 'apiVersion: countersign/v1\nkind: Service\nname: orders\nowner: ada\n');
    const shown = await json('apply', '--file', declaration, '--dry-run');
    assert.deepEqual([shown['applied'], shown['changes'].length], [false, 1]);
    assert.deepEqual((await json('list', 'services'))['items'], []);
    assert.equal((await run('apply', '--file', declaration)).code, exitCodes.usage.code, 'nobody was there to agree');
    assert.equal((await json('apply', '--file', declaration, '--yes'))['applied'], true);
    assert.equal((await json('list', 'services'))['items'][0].name, 'orders');
    assert.notEqual((await run('ticket', 'rotate', '--service', 'orders')).code, exitCodes.ok.code, 'nobody serves yet');
    const serving = [
      'kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: ada\n',
      'kind: Proxy\nname: orders-1\nservice: orders\nrole: sidecar\ninbound: [{ endpoint: orders-api, listen: "127.0.0.1:8111", upstream: "127.0.0.1:8112" }]\n',
    ];
    writeFileSync(declaration, serving.map((document) => `apiVersion: countersign/v1\n${document}`).join('---\n'));
    assert.equal((await json('apply', '--file', declaration, '--yes'))['applied'], true);
    const unable = [
      'kind: Policy\nname: strict\nhttp: { rates: { caller: { perSecond: 5, burst: 10 } } }\n',
      serving[0]!.replace('owner: ada', 'owner: ada\npolicy: strict'),
      serving[1]!.replace('role: sidecar', 'role: sidecar\nplane: envoy'),
    ];
    writeFileSync(declaration, unable.map((document) => `apiVersion: countersign/v1\n${document}`).join('---\n'));
    const tried = await run('apply', '--file', declaration, '--dry-run');
    assert.equal(tried.code, exitCodes.no.code, tried.stderr);
    assert.match(tried.stdout, /would be refused: Proxy orders-1, orders-api: http\.rates\.caller: /);
    assert.equal((await run('apply', '--file', declaration, '--yes')).code, exitCodes.refused.code);
    const identities = ['spiffe://acme.example/production/orders'];
    assert.deepEqual(await json('ticket', 'rotate', '--service', 'orders'), { identities });
    assert.deepEqual(await json('ticket', 'rotate', '--all', '--leaked', '--reason', 'a core dump'), { identities });
    writeFileSync(declaration, 'apiVersion: countersign/v1\nkind: Service\nname: orders\ncolour: red\n');
    assert.equal((await run('apply', '--file', declaration, '--yes')).code, exitCodes.refused.code);
    const { code } = await run('rollout', 'status', 'nothing-of-that-name');
    assert.equal(code, exitCodes.usage.code);
  });

  await context.test('names from outside cannot move the cursor of who lists them', async () => {
    const name = 'eve \u009b2J\u202e';
    const made = await run('token', 'create', '--name', name, '--role', 'viewer', '--out', file('eve.token'));
    assert.ok(made.code === exitCodes.ok.code || made.code === exitCodes.refused.code, made.stderr);
    for (const argv of [
      ['audit', 'search'],
      ['audit', 'search', '--json'],
      ['cert', 'list'],
      ['list', 'services'],
    ]) {
      const { stdout } = await run(...argv);
      assert.doesNotMatch(
        stdout.replaceAll(/\n/g, '').replaceAll('\u001b[1m', '').replaceAll('\u001b[22m', ''),
        /[\p{Cc}\p{Bidi_Control}]/u,
      );
    }
  });

  await context.test('what was done stands in the log, and the export is verified offline', async () => {
    const found = await json('audit', 'search', '--type', 'certificate.revoked');
    assert.equal(JSON.parse(found['items'][0].leaf).data.serial, serial);
    const log = file('log');
    await json('audit', 'export', log);
    assert.equal((await run('audit', 'export', log)).code, exitCodes.usage.code, 'a directory that is not empty');
    const verified = await runCommand(['audit', 'verify', log, '--json']);
    assert.equal(verified.code, exitCodes.ok.code, verified.stderr);
    const report = JSON.parse(verified.stdout) as Json;
    assert.deepEqual([report['verified'], report['entriesByType']['certificate.revoked']], [true, 1]);
    const earlier = newFolder();
    cpSync(join(log, 'checkpoint'), join(earlier, '1'));
    const later = file('log-later');
    await json('audit', 'export', later);
    const extended = await runCommand(['audit', 'verify', later, '--checkpoints', earlier, '--key', join(log, 'verifier'), '--json']);
    assert.equal((JSON.parse(extended.stdout) as Json)['extended'], 1);
    const backwards = await runCommand(['audit', 'verify', log, '--checkpoints', join(scratch, 'no-such'), '--json']);
    assert.equal(backwards.code, exitCodes.usage.code);
  });

  await context.test('an export that was changed in any file is not verified: exit code 1', async () => {
    const whole = file('log');
    const files = globSync('**', { cwd: whole, withFileTypes: true }).filter((entry) => entry.isFile());
    assert.ok(files.length >= 4);
    for (const entry of files) {
      const path = join(entry.parentPath, entry.name).slice(whole.length + 1);
      if (path === 'verifier') continue;
      for (const harm of [flipOctet, cutShort, removeFile]) {
        const copy = newFolder();
        cpSync(whole, copy, { recursive: true });
        harm(join(copy, path));
        const { code, stdout, stderr } = await runCommand(['audit', 'verify', copy, '--json']);
        assert.equal(code, exitCodes.no.code, `${harm.name} of ${path}: ${stdout}${stderr}`);
        const { verified, because } = JSON.parse(stdout) as Json;
        assert.deepEqual([verified, typeof because], [false, 'string']);
      }
    }
    const other = newFolder();
    assert.equal((await runCommand(['audit', 'verify', other])).code, exitCodes.usage.code, 'no export at all');
  });
});

function flipOctet(file: string): void {
  const octets = readFileSync(file);
  octets[Math.floor(octets.length / 2)]! ^= 1;
  writeFileSync(file, octets);
}

function cutShort(file: string): void {
  truncateSync(file, statSync(file).size - 1);
}

function removeFile(file: string): void {
  rmSync(file);
}

describe('ca init and ca rewrap', () => {
  for (const keyType of ['P-256', 'P-384', 'Ed25519', 'RSA-3072']) {
    test(`ca init makes authorities of ${keyType}, once, and the server starts on them`, async () => {
      const folder = newFolder();
      const config = writeServerConfig(folder);
      const made = await runCommand(['ca', 'init', '--config', config, '--key-type', keyType, '--json']);
      assert.equal(made.code, exitCodes.ok.code, made.stderr);
      const again = await runCommand(['ca', 'init', '--config', config]);
      assert.deepEqual([again.code, /\[state-conflict\]/.test(again.stderr)], [exitCodes.usage.code, true]);
      await using _server = await startServerProcess(config);
      const [root] = decodePem(readFileSync(join(folder, 'data/root.pem'), 'utf8'), 'CERTIFICATE').map((der) => parseCertificate(der));
      assert.equal(root!.spkiSha256, (JSON.parse(made.stdout) as Json)['root']);
    });
  }

  test('ca rewrap changes what opens the keys and not the keys: the old file opens nothing any more', async () => {
    const folder = newFolder();
    const config = writeServerConfig(folder);
    assert.equal((await runCommand(['ca', 'init', '--config', config])).code, exitCodes.ok.code);
    const rootBefore = await rootAfterStart(config, folder);
    const refused = await runCommand(['ca', 'rewrap', '--config', config, '--new-key-file', join(folder, 'data', 'kek')]);
    assert.deepEqual([refused.code, /\[key-file-unsafe\]/.test(refused.stderr)], [exitCodes.internal.code, true]);
    const rewrapped = await runCommand(['ca', 'rewrap', '--config', config, '--new-key-file', join(folder, 'new.kek')]);
    assert.equal(rewrapped.code, exitCodes.ok.code, rewrapped.stderr);
    const locked = await runCommand(['server', '--config', config]);
    assert.deepEqual([locked.code, /\[key-locked\]/.test(locked.stderr)], [exitCodes.internal.code, true]);
    assert.equal(await rootAfterStart(writeServerConfig(folder, ['keyFile: new.kek']), folder), rootBefore);
  });

  test('ca rewrap goes from a key file to a passphrase and back', async () => {
    const folder = newFolder();
    const config = writeServerConfig(folder);
    const rootBefore = await rootAfterStart(config, folder);
    writeFileSync(join(folder, 'phrase'), 'correct horse battery staple\n', { mode: 0o600 });
    const over = await runCommand(['ca', 'rewrap', '--config', config, '--new-passphrase-file', join(folder, 'phrase')]);
    assert.equal(over.code, exitCodes.ok.code, over.stderr);
    const text = readFileSync(config, 'utf8').replace('keyFile: kek', 'passphraseFile: phrase');
    writeFileSync(config, text);
    assert.equal(await rootAfterStart(config, folder), rootBefore);
    const back = await runCommand(['ca', 'rewrap', '--config', config, '--new-key-file', join(folder, 'third.kek')]);
    assert.equal(back.code, exitCodes.ok.code, back.stderr);
    assert.equal(await rootAfterStart(writeServerConfig(folder, ['keyFile: third.kek']), folder), rootBefore);
    assert.deepEqual(
      readdirSync(join(folder, 'data')).filter((name) => name.includes('kek')),
      [],
    );
  });
});

async function rootAfterStart(config: string, folder: string): Promise<string> {
  await using _server = await startServerProcess(config);
  return readFileSync(join(folder, 'data/root.pem'), 'utf8');
}
