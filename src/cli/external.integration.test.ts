import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { runCommand, startServerProcess, writeServerConfig } from '../../test/support/command-line.ts';
import { startDnsServer } from '../../test/support/dns-server.ts';
import { openTlsEndpoint, pemOf } from '../../test/support/endpoints.ts';
import { freePort } from '../../test/support/free-port.ts';
import { pebbleProgram, startPebble } from '../../test/support/pebble.ts';
import { makeTestAuthority } from '../../test/support/test-authority.ts';
import { encodePem } from '../core/x509/pem.ts';

const skip = pebbleProgram === null && process.env['CI'] !== 'true' ? 'no Pebble here' : false;
const page = readFileSync(join(import.meta.dirname, '../../docs/how-to/public-certificates.md'), 'utf8');
const blocks = (kind: string): readonly string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, block]) => block!);

test(
  'docs/how-to/public-certificates.md, line by line: a public CA is declared, asked, fetched from, and a stranger is watched',
  { skip },
  async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-external-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = (name: string): string => join(folder, name);
    await using dns = await startDnsServer();
    for (const name of ['www.acme.example', 'stolen.acme.example']) dns.records.set(name, [{ type: 'A', address: '127.0.0.1' }]);
    const httpPort = await freePort();
    await using pebble = await startPebble({ dns: dns.address, httpPort });
    const config = writeServerConfig(folder, [
      `listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:${httpPort}"}`,
      `external: {allow: ["127.0.0.0/8"], dnsServers: ["${dns.address}"]}`,
    ]);
    await using server = await startServerProcess(config);
    const where = ['--server', `https://${server.addresses.admin}`, '--root', file('data/root.pem')];
    const exchanged = await runCommand([
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
    assert.equal(exchanged.code, 0, exchanged.stderr);
    /** A line of the page, with the files in the folder. */
    const line = async (text: string) => {
      const words = text.match(/"[^"]*"|\S+/g)!.map((word) => word.replaceAll('"', ''));
      if (words[0] === 'openssl') return void execFileSync('openssl', words.slice(1), { cwd: folder, stdio: 'ignore' });
      const args = words.slice(1).map((word) => (/\.(pem|csr|yaml)$/.test(word) ? file(word) : word.replace('$ORDER', order)));
      const ended = await runCommand([...args, ...where, '--token-file', file('ada.token')]);
      assert.equal(ended.code, 0, `${text}: ${ended.stderr}`);
      return ended;
    };
    const commands = blocks('sh').flatMap((block) => block.trimEnd().split('\n'));
    const declared = blocks('yaml')[0]!.replace(/^directoryUrl: .*$/m, `directoryUrl: ${pebble.directoryUrl}`);
    const trust = [
      ['anchorsPem', pebble.anchorsPem],
      ['rootsPem', await pebble.rootPem()],
    ].map(([key, pem]) => `${key}: |\n${pem!.trim().replaceAll(/^/gm, '  ')}\n`);
    writeFileSync(file('public.yaml'), declared + trust.join(''));
    const stranger = makeTestAuthority(Date.now(), 'Partner');
    const partner = stranger.issue({ dnsNames: ['api.partner.example'], usages: ['server'] });
    writeFileSync(file('partner.pem'), partner.chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
    writeFileSync(file('partner-root.pem'), encodePem('CERTIFICATE', stranger.root.der));
    let order = '';
    let last = '';
    for (const command of commands) {
      const ended = await line(command);
      if (ended === undefined) continue;
      order = /order_[0-9a-z]{26}/.exec(`${ended.stdout}${ended.stderr}`)?.[0] ?? order;
      last = ended.stdout;
    }
    assert.match(last, /api\.partner\.example/, 'the last line of the page lists what was imported');
    const chain = readFileSync(file('www.pem'), 'utf8');
    assert.ok(chain.split('BEGIN CERTIFICATE').length >= 3);
    assert.equal(statSync(file('www.pem')).mode & 0o777, 0o644);
    const listed = await line('countersign cert list --name www.acme.example');
    assert.match(listed!.stdout, /external +issued/);
    const audited = await line('countersign audit search --type external-order.issued');
    assert.match(audited!.stdout, /www\.acme\.example/);

    await context.test('dns-01 by updates of the zone is declared with a key by file, and in no other way', async () => {
      const base = declared.replace(/^challenge: .*$/m, '') + trust.join('');
      const updates = blocks('yaml')[1]!;
      const key = Buffer.alloc(32, 7).toString('base64');
      writeFileSync(file('zone.key'), `${key}\n`);
      const declare = (yaml: string, ...more: readonly string[]) => {
        writeFileSync(file('updates.yaml'), yaml);
        const args = ['external', 'declare', '--name', 'by-updates', '--file', file('updates.yaml'), ...more];
        return runCommand([...args, ...where, '--token-file', file('ada.token')]);
      };
      const withKey = ['--dns-key-file', file('zone.key')];
      for (const [yaml, more, why] of [
        [base + updates, [], /updates for dns-01 without a DNS key/],
        [base + updates.replace('dns-01', 'http-01'), withKey, /neither with http-01/],
        [`${base + updates}webhook: { url: "https://dns.example/" }\n`, withKey, /expected a webhook or dnsUpdate/],
        [`${base + updates}dnsKey: ${key}\n`, withKey, /without secrets/],
        [base + updates.replace('keyName', 'algorithm: hmac-md5, keyName'), withKey, /algorithm/],
      ] as const) {
        const refused = await declare(yaml, ...more);
        assert.notEqual(refused.code, 0, yaml);
        assert.match(refused.stderr, why);
      }
      const made = await declare(base + updates, ...withKey, '--json');
      assert.equal(made.code, 0, made.stderr);
      assert.deepEqual(JSON.parse(made.stdout).dnsUpdate, {
        host: 'ns1.acme.example',
        port: 53,
        zones: ['acme.example'],
        keyName: 'countersign',
        algorithm: 'hmac-sha256',
        settleSeconds: 5,
      });
      assert.ok(!`${made.stdout}${made.stderr}`.includes(key));
      assert.equal((await declare(base + updates)).code, 0, 'the stored key stays');
    });

    await context.test('a certificate is watched at an endpoint of the inventory, which has to be declared', async () => {
      const ask = (args: readonly string[]) => runCommand([...args, ...where, '--token-file', file('ada.token')]);
      const renewed = stranger.issue({ dnsNames: ['api.partner.example'], usages: ['server'] });
      writeFileSync(file('renewed.pem'), renewed.chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
      const bring = ['cert', 'import', file('renewed.pem'), '--trusted', file('partner-root.pem'), '--endpoint', 'partner-api'];
      const unknown = await ask(bring);
      assert.notEqual(unknown.code, 0);
      assert.match(unknown.stderr, /Cannot find endpoint/);
      await using shown = await openTlsEndpoint(pemOf(partner));
      const head = 'apiVersion: countersign/v1\n';
      const address = `127.0.0.1:${shown.address.port}`;
      writeFileSync(
        file('partner-api.yaml'),
        `${head}kind: Service\nname: partner\nowner: partners\n---\n${head}kind: Endpoint\nname: partner-api\nservice: partner\nprotocol: http\naddresses: ["${address}"]\nowner: partners\n`,
      );
      const applied = await ask(['apply', '-f', file('partner-api.yaml'), '--yes']);
      assert.equal(applied.code, 0, applied.stderr);
      const brought = await ask(bring);
      assert.equal(brought.code, 0, brought.stderr);
      const searched = ['audit', 'search', '--type', 'external-certificate.found', '--json'];
      let found = (await ask(searched)).stdout;
      for (let tries = 0; !found.includes('not-served') && tries < MAXIMUM_TRIES; tries++) {
        await pause(200);
        found = (await ask(searched)).stdout;
      }
      assert.ok(found.includes(`${address} shows another certificate`), found);
      const asked = await ask([
        'external',
        'order',
        '--authority',
        'public',
        '--csr',
        file('www.csr'),
        '--endpoint',
        'nowhere',
        '--wait',
        '0',
      ]);
      assert.match(asked.stderr, /Cannot find endpoint/);
    });

    await context.test(
      'what the declaration does not allow is refused with all reasons, a key in a file is not sent, a certificate is imported once',
      async () => {
        const ask = (args: readonly string[]) => runCommand([...args, ...where, '--token-file', file('ada.token')]);
        execFileSync('openssl', [
          'req',
          '-new',
          '-key',
          file('www.key'),
          '-subj',
          '/',
          '-addext',
          'subjectAltName=DNS:stolen.acme.example',
          '-out',
          file('stolen.csr'),
        ]);
        const stolen = await ask(['external', 'order', '--authority', 'public', '--csr', file('stolen.csr')]);
        assert.match(stolen.stderr, /stolen\.acme\.example is not among the allowed names/);
        writeFileSync(file('bundle.pem'), `${readFileSync(file('partner.pem'), 'utf8')}${readFileSync(file('www.key'), 'utf8')}`);
        assert.match((await ask(['cert', 'import', file('bundle.pem')])).stderr, /private key/);
        assert.match((await ask(['cert', 'import', file('partner.pem')])).stderr, /not valid/, 'no public root signed it');
        assert.match((await ask(['cert', 'import', file('partner.pem'), '--trusted', file('partner-root.pem')])).stderr, /already/);
        const own = await ask(['cert', 'import', file('data/root.pem')]);
        assert.notEqual(own.code, 0);
        const { serialHex } = partner.certificate;
        assert.match((await ask(['cert', 'revoke', serialHex])).stderr, /another CA/);
        const revoked = await ask(['cert', 'revoke', '--name', 'www.acme.example', '--dry-run']);
        assert.match(
          revoked.stdout,
          /^0 would be revoked\n1 of other CAs, which would be asked/,
          'what is not ours its CA is asked to revoke',
        );
      },
    );

    await context.test('a certificate of another CA is revoked by that CA, and then stands as revoked', async () => {
      const ask = (args: readonly string[]) => runCommand([...args, ...where, '--token-file', file('ada.token')]);
      const serial = new X509Certificate(readFileSync(file('www.pem'))).serialNumber.toLowerCase();
      const asked = await ask(['cert', 'revoke', serial, '--reason', 'cessationOfOperation']);
      assert.equal(asked.code, 0, asked.stderr);
      assert.match(asked.stdout, /its CA is asked/);
      const search = ['audit', 'search', '--type', 'external-certificate.revoked', '--json'];
      let revoked = (await ask(search)).stdout;
      for (let tries = 0; !revoked.includes(serial) && tries < MAXIMUM_TRIES; tries++) {
        await pause(200);
        revoked = (await ask(search)).stdout;
      }
      assert.ok(revoked.includes(serial), revoked);
      assert.match((await ask(['cert', 'revoke', serial])).stderr, /revoked already/);
    });
  },
);

/** A minute and more: the commands take their time too. */
const MAXIMUM_TRIES = 150;
