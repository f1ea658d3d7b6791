import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type Ended, runCommand, startServerProcess, writeServerConfig } from '../../test/support/command-line.ts';
import { TlsServers } from '../../test/support/tls-servers.ts';
import { startTokenIssuer } from '../../test/support/token-issuer.ts';
import { buildCertificateRequest } from '../core/x509/certificate-request.ts';
import { encodePem } from '../core/x509/pem.ts';
import { exitCodes } from './exit-codes.ts';

const folder = await mkdtemp(join(tmpdir(), 'countersign-pipeline-'));
const issuer = await startTokenIssuer();
const servers = await TlsServers.open();
const server = await startServerProcess(writeServerConfig(folder));
after(async () => {
  await server.stop();
  await servers[Symbol.asyncDispose]();
  await issuer[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const file = (name: string): string => join(folder, name);
const AUDIENCE = 'https://countersign.acme.example';
const origin = `https://${server.addresses.admin}`;
const where = ['--server', origin, '--root', file('data/root.pem')];
const admin = ['--token-file', file('ada.token')];
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
await writeFile(file('orders.csr'), encodePem('CERTIFICATE REQUEST', buildCertificateRequest({ dnsNames: ['orders.acme.example'] }, key)));
await writeFile(file('github-ca.pem'), encodePem('CERTIFICATE', servers.authority.root.der));

async function ok(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand([...args, ...where]);
  assert.equal(code, exitCodes.ok.code, stderr);
  return stdout;
}

await ok('token', 'exchange', '--bootstrap-file', file('data/bootstrap.token'), '--name', 'ada', '--out', file('ada.token'));
const declared = {
  issuer: issuer.issuer,
  audience: AUDIENCE,
  anchorsPem: issuer.anchorsPem,
  rules: [
    {
      name: 'deploy',
      match: { repository: 'acme/orders', ref: 'refs/heads/main' },
      profiles: ['server'],
      dnsNames: ['{last:repository}.acme.example'],
      maxLifetimeMs: 86_400_000,
    },
  ],
};
await writeFile(file('github.yaml'), JSON.stringify(declared));
await ok('token', 'trust', '--name', 'github', '--file', file('github.yaml'), ...admin);

/** What the live issuer signs for a job of the right repository, but for what is changed. */
function signFor(audience: string, change: object = {}): Promise<string> {
  const iat = Math.floor(Date.now() / 1_000);
  const claims = {
    iss: issuer.issuer,
    aud: audience,
    sub: 'repo:acme/orders:ref:refs/heads/main',
    jti: String(Math.random()),
    iat,
    exp: iat + 300,
  };
  return issuer.sign({ ...claims, repository: 'acme/orders', ref: 'refs/heads/main', ...change });
}

/** The address that a runner of GitHub gives its jobs: it signs for whatever audience it is asked, by `Authorization`. */
const asked: string[] = [];
let answerOfRunner: (audience: string, response: ServerResponse) => Promise<void> | void = async (audience, response) =>
  void response.end(JSON.stringify({ count: 1, value: await signFor(audience) }));
const runnerPort = await servers.node({}, (request: IncomingMessage, response: ServerResponse) => {
  const url = new URL(request.url!, 'https://runner');
  asked.push(`${request.headers.authorization} ${request.url}`);
  void answerOfRunner(url.searchParams.get('audience') ?? '', response);
});
const runner = {
  ACTIONS_ID_TOKEN_REQUEST_URL: `https://localhost:${runnerPort}/token?api-version=2.0`,
  ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runner-secret',
  NODE_EXTRA_CA_CERTS: file('github-ca.pem'),
};

function loggedReasons(): readonly unknown[] {
  return server.logged.filter(({ msg }) => msg === 'machine-token.refused').map(({ reason }) => reason);
}

let outs = 0;
async function issue(args: readonly string[], env: { readonly [name: string]: string } = {}): Promise<Ended & { readonly out: string }> {
  const out = file(`out-${outs++}.pem`);
  const all = ['cert', 'issue', '--csr', file('orders.csr'), '--profile', 'server', '--out', out, ...where, ...args];
  return { ...(await runCommand(all, { env })), out };
}

describe('cert issue --oidc, in a pipeline', () => {
  test('a job of GitHub Actions fetches its token and buys one certificate with it', async () => {
    const { code, stderr, stdout, out } = await issue(['--oidc', 'github', '--audience', AUDIENCE], runner);
    assert.equal(code, exitCodes.ok.code, stderr);
    assert.match(new X509Certificate(readFileSync(out)).subjectAltName ?? '', /^DNS:orders\.acme\.example$/);
    assert.deepEqual(asked, [`Bearer runner-secret /token?api-version=2.0&audience=${encodeURIComponent(AUDIENCE)}`]);
    assert.ok(!`${stdout}${stderr}`.includes('runner-secret'));
  });

  test('a job of GitLab has it in a variable, another in a file', async () => {
    const byVariable = await issue(['--oidc', 'env:COUNTERSIGN_TOKEN'], { COUNTERSIGN_TOKEN: await signFor(AUDIENCE) });
    assert.equal(byVariable.code, exitCodes.ok.code, byVariable.stderr);
    await writeFile(file('job.jwt'), `${await signFor(AUDIENCE)}\n`);
    const byFile = await issue(['--oidc', `file:${file('job.jwt')}`]);
    assert.equal(byFile.code, exitCodes.ok.code, byFile.stderr);
  });

  test('wrong audience, expired, replayed and another repository are refused in one text, each with its reason in log and audit', async () => {
    const past = Math.floor(Date.now() / 1_000) - 1_000;
    const once = await signFor(AUDIENCE);
    assert.equal((await issue(['--oidc', 'env:T'], { T: once })).code, exitCodes.ok.code);
    const before = loggedReasons().length;
    const refused = [
      await issue(['--oidc', 'github'], runner),
      await issue(['--oidc', 'env:T'], { T: await signFor(AUDIENCE, { iat: past, exp: past + 300 }) }),
      await issue(['--oidc', 'env:T'], { T: once }),
      await issue(['--oidc', 'env:T'], { T: await signFor(AUDIENCE, { repository: 'evil/orders' }) }),
    ];
    for (const { code, stderr, out } of refused) {
      assert.deepEqual([code, existsSync(out)], [exitCodes.refused.code, false]);
      assert.equal(stderr, refused[0]?.stderr);
      assert.match(stderr, /\[token-refused\]/);
    }
    const reasons = ['wrong-audience', 'expired', 'replayed', 'no-rule'];
    assert.deepEqual(loggedReasons().slice(before), reasons);
    const entries = JSON.parse(await ok('audit', 'search', '--type', 'machine-token.refused', '--json', ...admin)) as {
      readonly items: readonly { readonly leaf: string }[];
    };
    assert.deepEqual(
      new Set(entries.items.map(({ leaf }) => (JSON.parse(leaf) as { readonly data: { readonly reason: string } }).data.reason)),
      new Set(reasons),
    );
    const issued = await ok('cert', 'list', '--json', ...admin);
    assert.equal(issued.match(/"orders\.acme\.example"/g)?.length, 4, 'one for each good token');
  });

  test('without an audience a token is fetched for the address of the server', async () => {
    asked.length = 0;
    await issue(['--oidc', 'github'], runner);
    assert.ok(asked[0]?.endsWith(`&audience=${encodeURIComponent(origin)}`) === true, asked.join());
  });

  test('a token is no argument: what is none of the sources is refused, and not said', async () => {
    const token = await signFor(AUDIENCE);
    for (const source of [token, `env:${token}`, 'env:', 'https://issuer.example']) {
      const { code, stderr } = await issue(['--oidc', source]);
      assert.equal(code, exitCodes.usage.code);
      assert.ok(!stderr.includes(token), stderr);
    }
  });

  test('what the runner does not give ends before the server is asked', async () => {
    const cases: readonly (readonly [{ readonly [name: string]: string }, number, RegExp])[] = [
      [{}, exitCodes.usage.code, /id-token: write/],
      [{ ...runner, ACTIONS_ID_TOKEN_REQUEST_TOKEN: '' }, exitCodes.usage.code, /id-token: write/],
      [{ ...runner, ACTIONS_ID_TOKEN_REQUEST_URL: 'http://localhost/token' }, exitCodes.usage.code, /expected an https URL/],
      [{ ...runner, NODE_EXTRA_CA_CERTS: '' }, exitCodes.unreachable.code, /Cannot fetch token from localhost:\d+/],
    ];
    for (const [env, expected, said] of cases) {
      const { code, stderr } = await issue(['--oidc', 'github'], env);
      assert.equal(code, expected, stderr);
      assert.match(stderr, said);
      assert.ok(!stderr.includes('runner-secret'));
    }
    const unset = await issue(['--oidc', 'env:NOBODY']);
    assert.match(unset.stderr, /variable NOBODY is not set/);
  });

  test('an answer of the runner that is no token is not used, and no redirect followed', async () => {
    const usual = answerOfRunner;
    for (const [answer, said] of [
      [(response: ServerResponse) => response.writeHead(302, { location: `${origin}/` }).end(), /status 302/],
      [(response: ServerResponse) => response.writeHead(500).end(), /status 500/],
      [(response: ServerResponse) => response.end('<html>'), /has no token/],
      [(response: ServerResponse) => response.end('{"value":1}'), /has no token/],
      [(response: ServerResponse) => response.end(`{"value":"${'x'.repeat(70_000)}"}`), /more than 65536 octets/],
      [(response: ServerResponse) => response.end('{"value":"a b"}'), /expected one token/],
    ] as const) {
      answerOfRunner = (_, response) => void answer(response);
      const { code, stderr } = await issue(['--oidc', 'github'], runner);
      assert.notEqual(code, exitCodes.ok.code);
      assert.match(stderr, said);
    }
    answerOfRunner = usual;
  });
});
