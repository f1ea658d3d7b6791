import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { type AcmeLab, openAcmeLab } from '../../../test/support/acme-lab.ts';
import { startDnsServer } from '../../../test/support/dns-server.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { makerOf } from '../../../test/support/maker.ts';
import { makeBinding } from './binding.ts';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const inCi = process.env['CI'] === 'true';
const onPath = (name: string): string | null =>
  (process.env['PATH'] ?? '')
    .split(':')
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file)) ?? null;
const inPeers = (name: string): string | null => {
  const file = join(root, '.test/peers', name, 'bin', name);
  return existsSync(file) ? file : null;
};
const programs = {
  certbot: inPeers('certbot'),
  caddy: inPeers('caddy'),
  'certbot of Debian': onPath('certbot'),
  'acme-client': existsSync(join(root, 'node_modules/acme-client')) ? join(root, 'test/support/run-acme-client.ts') : null,
  lego: onPath('lego'),
  dehydrated: onPath('dehydrated'),
  uacme: onPath('uacme'),
  'acme-tiny': onPath('acme-tiny'),
};

/** Skipped by name where the program is absent; with CI=true it fails. */
function by(name: keyof typeof programs, what: string, run: (program: string) => Promise<void>): void {
  const program = programs[name];
  test(`${name}: ${what}`, { skip: program === null && !inCi ? `no ${name} here` : false, timeout: 120_000 }, () => {
    assert.ok(program !== null, `${name} is missing`);
    return run(program);
  });
}

const scratch = mkdtempSync(join(tmpdir(), 'countersign-acme-clients-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let opened = 0;
const newUrl = (): string => `sqlite:${join(scratch, `${++opened}.sqlite`)}`;

async function run(program: string, args: readonly string[], env: { readonly [name: string]: string } = {}): Promise<string> {
  try {
    const { stdout, stderr } = await execute(program, args, { env: { ...process.env, ...env }, timeout: 100_000 });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`${program} ${args.join(' ')}\n${stdout}\n${stderr}`, { cause: error });
  }
}

async function namesOf(file: string): Promise<string | undefined> {
  return new X509Certificate(await readFile(file)).subjectAltName;
}

/** A lab whose http-01 and tls-alpn-01 are answered by the client itself. */
async function standalone(options: Parameters<typeof openAcmeLab>[1] = {}) {
  const [http, tls] = [await freePort(), await freePort()];
  const { validation, ...rest } = options.acme ?? {};
  const ports = { allow: [`127.0.0.0/8:${http}`, `127.0.0.0/8:${tls}`], httpPort: http, tlsPort: tls, ...validation };
  const lab = await openAcmeLab(newUrl(), { ...options, acme: { ...rest, validation: ports } });
  return Object.assign(lab, { http, tls });
}

const certbotArgs = (lab: AcmeLab, ...more: readonly string[]): string[] => {
  const folders = ['--config-dir', `${lab.directory}/c`, '--work-dir', `${lab.directory}/w`, '--logs-dir', `${lab.directory}/l`];
  const consent = ['--non-interactive', '--agree-tos', '--register-unsafely-without-email'];
  return [...more, '--server', lab.directoryUrl, ...folders, ...consent];
};

by('certbot', 'http-01 of names and an address, renewal by ARI, profile, revocation, deactivation', async (certbot) => {
  await using lab = await standalone();
  const trust = { REQUESTS_CA_BUNDLE: lab.rootFile };
  const http = ['--standalone', '--http-01-port', String(lab.http), '--http-01-address', '127.0.0.1'];
  await run(certbot, certbotArgs(lab, 'certonly', ...http, '-d', 'a.localhost', '-d', 'b.localhost', '--cert-name', 'x'), trust);
  assert.equal(await namesOf(`${lab.directory}/c/live/x/cert.pem`), 'DNS:a.localhost, DNS:b.localhost');
  const again = await run(certbot, certbotArgs(lab, 'renew', '--no-random-sleep-on-renew'), trust);
  assert.match(again, /not yet due|not due/);
  const first = await readFile(`${lab.directory}/c/live/x/cert.pem`, 'utf8');
  await run(certbot, certbotArgs(lab, 'renew', '--force-renewal', '--no-random-sleep-on-renew'), trust);
  assert.notEqual(await readFile(`${lab.directory}/c/live/x/cert.pem`, 'utf8'), first);
  await run(
    certbot,
    certbotArgs(lab, 'certonly', ...http, '-d', 's.localhost', '--preferred-profile', 'shortlived', '--cert-name', 's'),
    trust,
  );
  const { validToDate, validFromDate } = new X509Certificate(await readFile(`${lab.directory}/c/live/s/cert.pem`));
  assert.equal(Math.round((validToDate.getTime() - validFromDate.getTime()) / 86_400_000), 6);
  await run(
    certbot,
    certbotArgs(lab, 'certonly', ...http, '--ip-address', '127.0.0.1', '--preferred-profile', 'shortlived', '--cert-name', 'ip'),
    trust,
  );
  assert.equal(await namesOf(`${lab.directory}/c/live/ip/cert.pem`), 'IP Address:127.0.0.1');
  await run(certbot, certbotArgs(lab, 'revoke', '--cert-name', 'x', '--reason', 'superseded', '--no-delete-after-revoke'), trust);
  assert.equal(lab.ca.entriesOf('certificate.revoked')[0]?.data['reason'], 'superseded');
  await run(certbot, certbotArgs(lab, 'unregister'), trust);
  assert.equal(lab.ca.entriesOf('acme-account.deactivated').length, 1);
});

by('certbot', 'an account bound by a token, which serves once', async (certbot) => {
  await using lab = await standalone({ acme: { externalAccountRequired: true } });
  const { grant, secret: macKey } = await makeBinding(
    { ...lab.ca, bindings: lab.secrets.bindings },
    { name: 'web', role: 'ci', environment: 'production', region: 'local', ttlMs: 3_600_000 },
    await makerOf(lab.ca, lab.clock.now()),
    lab.clock.now(),
  );
  const trust = { REQUESTS_CA_BUNDLE: lab.rootFile };
  const eab = ['--eab-kid', grant.id, '--eab-hmac-key', macKey.reveal()];
  await assert.rejects(run(certbot, certbotArgs(lab, 'register'), trust), /external/i);
  await run(certbot, certbotArgs(lab, 'register', ...eab), trust);
  await assert.rejects(
    run(certbot, [...certbotArgs(lab, 'register', ...eab), '--config-dir', `${lab.directory}/other`], trust),
    /unknown, used/,
  );
  const http = ['--standalone', '--http-01-port', String(lab.http), '--http-01-address', '127.0.0.1'];
  await run(certbot, certbotArgs(lab, 'certonly', ...http, '-d', 'a.localhost'), trust);
});

by('certbot', 'a wildcard by dns-01, against a server that is difficult on purpose', async (certbot) => {
  await using dns = await dnsFolder();
  await using lab = await standalone({ acme: { chaos: true, validation: { dnsServers: [dns.server.address] } } });
  const auth = await script(lab, 'auth.sh', `printf '%s\\n' "$CERTBOT_VALIDATION" >> "${dns.folder}/_acme-challenge.$CERTBOT_DOMAIN"`);
  const args = [
    'certonly',
    '--manual',
    '--preferred-challenges',
    'dns',
    '--manual-auth-hook',
    auth,
    '-d',
    '*.wild.example',
    '-d',
    'wild.example',
    '--cert-name',
    'w',
  ];
  await run(certbot, certbotArgs(lab, ...args), { REQUESTS_CA_BUNDLE: lab.rootFile });
  assert.equal(await namesOf(`${lab.directory}/c/live/w/cert.pem`), 'DNS:*.wild.example, DNS:wild.example');
});

by('certbot of Debian', 'http-01, forced renewal, revocation', async (certbot) => {
  await using lab = await standalone();
  const trust = { REQUESTS_CA_BUNDLE: lab.rootFile };
  const http = ['--standalone', '--http-01-port', String(lab.http), '--http-01-address', '127.0.0.1'];
  await run(certbot, certbotArgs(lab, 'certonly', ...http, '-d', 'old.localhost', '--cert-name', 'x'), trust);
  const first = await readFile(`${lab.directory}/c/live/x/cert.pem`, 'utf8');
  assert.equal(new X509Certificate(first).subjectAltName, 'DNS:old.localhost');
  await run(certbot, certbotArgs(lab, 'renew', '--force-renewal', '--no-random-sleep-on-renew'), trust);
  assert.notEqual(await readFile(`${lab.directory}/c/live/x/cert.pem`, 'utf8'), first);
  await run(certbot, certbotArgs(lab, 'revoke', '--cert-name', 'x', '--no-delete-after-revoke'), trust);
  assert.equal(lab.ca.entriesOf('certificate.revoked').length, 1);
});

by('acme-client', 'http-01 from a web root, against a server that is difficult on purpose', async (script) => {
  await using lab = await openAcmeLab(newUrl(), { acme: { chaos: true } });
  const told = await run(process.execPath, [script, lab.directoryUrl, 'npm.localhost', lab.challengeFolder], {
    NODE_EXTRA_CA_CERTS: lab.rootFile,
  });
  const certificate = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(told)![0];
  assert.equal(new X509Certificate(certificate).subjectAltName, 'DNS:npm.localhost');
});

by('acme-tiny', 'http-01 with an RSA account key', async (acmeTiny) => {
  await using lab = await openAcmeLab(newUrl());
  const [key, request, account] = ['key.pem', 'csr.pem', 'account.pem'].map((name) => join(lab.directory, name));
  await run('openssl', ['genrsa', '-out', account!, '2048']);
  const subject = ['-subj', '/', '-addext', 'subjectAltName=DNS:tiny.localhost'];
  await run('openssl', [
    'req',
    '-new',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    key!,
    '-out',
    request!,
    ...subject,
  ]);
  const args = [
    '--account-key',
    account!,
    '--csr',
    request!,
    '--acme-dir',
    lab.challengeFolder,
    '--directory-url',
    lab.directoryUrl,
    '--disable-check',
  ];
  const { stdout } = await execute(acmeTiny, args, { env: { ...process.env, SSL_CERT_FILE: lab.rootFile } });
  assert.equal(new X509Certificate(stdout).subjectAltName, 'DNS:tiny.localhost');
});

by('dehydrated', 'http-01 from a web root, and a bound account', async (dehydrated) => {
  await using lab = await openAcmeLab(newUrl(), { acme: { externalAccountRequired: true } });
  const { grant, secret: macKey } = await makeBinding(
    { ...lab.ca, bindings: lab.secrets.bindings },
    { name: 'web', role: 'operator', environment: 'production', region: 'local', ttlMs: 3_600_000 },
    await makerOf(lab.ca, lab.clock.now()),
    lab.clock.now(),
  );
  const config = join(lab.directory, 'dehydrated.cfg');
  const lines = {
    CA: lab.directoryUrl,
    BASEDIR: `${lab.directory}/d`,
    WELLKNOWN: lab.challengeFolder,
    CURL_OPTS: `--cacert ${lab.rootFile}`,
    EAB_KID: grant.id,
    EAB_HMAC_KEY: macKey.reveal(),
  };
  await mkdir(lines.BASEDIR);
  await writeFile(
    config,
    Object.entries(lines)
      .map(([name, value]) => `${name}="${value}"\n`)
      .join(''),
  );
  await run(dehydrated, ['-f', config, '--register', '--accept-terms']);
  await run(dehydrated, ['-f', config, '-c', '-d', 'dehydrated.localhost']);
  assert.equal(await namesOf(`${lab.directory}/d/certs/dehydrated.localhost/cert.pem`), 'DNS:dehydrated.localhost');
});

by('lego', 'http-01, tls-alpn-01, renewal, revocation', async (lego) => {
  await using lab = await standalone();
  const trust = { LEGO_CA_CERTIFICATES: lab.rootFile };
  const base = ['--path', `${lab.directory}/lego`, '-s', lab.directoryUrl, '-a', '-m', 'ops@acme.example'];
  const http = ['--http', '--http.port', `127.0.0.1:${lab.http}`];
  await run(lego, [...base, '-d', 'h.localhost', ...http, 'run'], trust);
  assert.equal(await namesOf(`${lab.directory}/lego/certificates/h.localhost.crt`), 'DNS:h.localhost');
  await run(lego, [...base, '-d', 't.localhost', '--tls', '--tls.port', `127.0.0.1:${lab.tls}`, 'run'], trust);
  assert.equal(await namesOf(`${lab.directory}/lego/certificates/t.localhost.crt`), 'DNS:t.localhost');
  assert.deepEqual(
    lab.ca.entriesOf('acme-authorization.validated').map(({ data }) => data['challenge']),
    ['http-01', 'tls-alpn-01'],
  );
  await run(lego, [...base, '-d', 'h.localhost', ...http, 'renew', '--days', '91', '--no-random-sleep'], trust);
  await run(lego, [...base, '-d', 'h.localhost', ...http, 'revoke'], trust);
  assert.equal(lab.ca.entriesOf('certificate.revoked').length, 1);
});

by('lego', 'a wildcard by dns-01', async (lego) => {
  await using dns = await dnsFolder();
  await using lab = await standalone({ acme: { validation: { dnsServers: [dns.server.address] } } });
  const hook = await script(lab, 'hook.sh', `name=\${2%.}; if [ "$1" = present ]; then printf '%s\\n' "$3" >> "${dns.folder}/$name"; fi`);
  const base = ['--path', `${lab.directory}/lego`, '-s', lab.directoryUrl, '-a', '-m', 'ops@acme.example'];
  const env = { LEGO_CA_CERTIFICATES: lab.rootFile, EXEC_PATH: hook, EXEC_POLLING_INTERVAL: '1', EXEC_PROPAGATION_TIMEOUT: '10' };
  await run(
    lego,
    [...base, '-d', '*.lego.example', '--dns', 'exec', '--dns.resolvers', dns.server.address, '--dns.disable-cp', 'run'],
    env,
  );
  assert.equal(await namesOf(`${lab.directory}/lego/certificates/_.lego.example.crt`), 'DNS:*.lego.example');
});

by('uacme', 'http-01 by a hook, revocation', async (uacme) => {
  await using lab = await openAcmeLab(newUrl());
  const hook = await script(
    lab,
    'hook.sh',
    `[ "$2" = http-01 ] || exit 1\nif [ "$1" = begin ]; then printf '%s' "$5" > "${lab.challengeFolder}/$4"; fi`,
  );
  // It trusts the system's store only: in a mount namespace of its own that is our root.
  const within = (...args: readonly string[]) =>
    run('unshare', ['-m', 'bash', '-c', 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"', lab.rootFile, uacme, ...args]);
  const base = ['-y', '-a', lab.directoryUrl, '-c', `${lab.directory}/u`];
  await within(...base, 'new', 'ops@acme.example');
  await within(...base, '-t', 'EC', '-h', hook, 'issue', 'uacme.localhost');
  assert.equal(await namesOf(`${lab.directory}/u/uacme.localhost/cert.pem`), 'DNS:uacme.localhost');
  await within(...base, 'revoke', `${lab.directory}/u/uacme.localhost/cert.pem`);
  assert.equal(lab.ca.entriesOf('certificate.revoked').length, 1);
});

by('caddy', 'tls-alpn-01 and http-01 by itself, with a profile', async (caddy) => {
  await using lab = await standalone();
  const file = join(lab.directory, 'Caddyfile');
  const issuer = `tls {\n issuer acme ${lab.directoryUrl} {\n trusted_roots ${lab.rootFile}\n profile shortlived\n }\n }`;
  const global = `{\n admin off\n http_port ${lab.http}\n https_port ${lab.tls}\n default_bind 127.0.0.1\n storage file_system ${lab.directory}/caddy\n email ops@acme.example\n}`;
  await writeFile(file, `${global}\ncaddy.acme-lab.localhost {\n ${issuer}\n respond ok\n}\n`);
  const env = { ...process.env, HOME: lab.directory, XDG_DATA_HOME: lab.directory, XDG_CONFIG_HOME: lab.directory };
  const child = spawn(caddy, ['run', '--config', file, '--adapter', 'caddyfile'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let told = '';
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const obtained = new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      told += chunk.toString();
      if (told.includes('certificate obtained successfully')) resolve();
    });
    child.once('exit', () => reject(new Error(told)));
  });
  try {
    await obtained;
    const [certificate] = globSync(`${lab.directory}/caddy/certificates/*/*/*.crt`);
    assert.equal(await namesOf(certificate!), 'DNS:caddy.acme-lab.localhost');
  } finally {
    child.kill('SIGTERM');
    await exited;
  }
});

async function dnsFolder() {
  const folder = join(scratch, `dns-${++opened}`);
  await mkdir(folder, { recursive: true });
  const server = await startDnsServer(folder);
  return { folder, server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function script(lab: AcmeLab, name: string, body: string): Promise<string> {
  const file = join(lab.directory, name);
  await writeFile(file, `#!/bin/sh\n${body}\n`);
  await chmod(file, 0o755);
  return file;
}
