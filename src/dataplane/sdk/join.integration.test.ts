import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { JWTPayload } from 'jose';
import { connectClient } from '../../cli/client.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { systemClock } from '../../platform/clock/clock.ts';
import { parseServerConfig } from '../../platform/config/server-config.ts';
import { type RunningServer, startServer } from '../../server.ts';
import { listening } from '../../../test/support/sdk-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { startTokenIssuer } from '../../../test/support/token-issuer.ts';
import { type Caller, identityOf, type JoinSource, open } from './countersign-sdk.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-sdk-join-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const AUDIENCE = 'https://countersign.example';
const logged: { readonly event: string; readonly fields: { readonly [name: string]: unknown } }[] = [];
const refusals = (): unknown[] => logged.filter(({ event }) => event === 'machine-token.refused').map(({ fields }) => fields['reason']);

let server: RunningServer;
let issuer: Awaited<ReturnType<typeof startTokenIssuer>>;
let post: <T>(path: string, body: unknown) => Promise<T>;
const rootFile = join(folder, 'data/root.pem');

const fleet = `apiVersion: countersign/v1
kind: Service
name: stock
owner: shop
---
apiVersion: countersign/v1
kind: Service
name: orders
owner: shop
---
apiVersion: countersign/v1
kind: Service
name: batch
owner: shop
---
apiVersion: countersign/v1
kind: Endpoint
name: stock
service: stock
protocol: http
addresses: ["127.0.0.1:PORT"]
owner: shop
allowedCallers: [orders]
---
apiVersion: countersign/v1
kind: Proxy
name: stock-1
service: stock
role: sdk
inbound: [{ endpoint: stock }]
---
apiVersion: countersign/v1
kind: Proxy
name: orders-1
service: orders
role: sdk
outbound: [{ endpoint: stock }]
---
apiVersion: countersign/v1
kind: Proxy
name: batch-1
service: batch
role: sdk
---
apiVersion: countersign/v1
kind: Proxy
name: batch-2
service: batch
role: sdk
`;

const rule = (service: string, more: object = {}) => ({
  name: service,
  match: { service },
  doors: ['join'],
  profiles: ['workload'],
  spiffeId: `spiffe://{trustDomain}/{environment}/${service}`,
  ...more,
});

before(async () => {
  const listen = 'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0"}';
  const config = parseServerConfig(
    ['dataDirectory: data', 'keyFile: kek', 'trustDomain: acme.example', 'environment: test', listen].join('\n'),
    folder,
  );
  server = await startServer({ config, clock: systemClock, log: (_level, event, fields = {}) => void logged.push({ event, fields }) });
  issuer = await startTokenIssuer();
  const clientOf = (token: string | null) =>
    connectClient({
      server: new URL(`https://127.0.0.1:${server.addresses.admin.port}`),
      rootPem: readFileSync(rootFile, 'utf8'),
      token: token === null ? null : new Secret(token),
    });
  const bootstrap = { token: readFileSync(server.bootstrapFile!, 'utf8').trim(), name: 'ada' };
  const { token } = await clientOf(null).post<{ readonly token: string }>('/v1/bootstrap-exchange', bootstrap);
  const client = clientOf(token);
  post = (path, body) => client.post(path, body);
  await post('/v1/declarations', { text: fleet.replace('PORT', '1') });
  await post('/v1/identity-providers', {
    name: 'cluster',
    spec: {
      issuer: issuer.issuer,
      audience: AUDIENCE,
      anchorsPem: issuer.anchorsPem,
      rules: [
        rule('orders'),
        rule('batch'),
        rule('nobody'),
        rule('stock', { doors: ['rest'] }),
        rule('named', { proxy: 'batch-2', spiffeId: 'spiffe://{trustDomain}/{environment}/batch' }),
      ],
    },
  });
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await issuer[Symbol.asyncDispose]();
});

let states = 0;
const openBy = (source: JoinSource) =>
  open({ control: `127.0.0.1:${server.addresses.dataPlane.port}`, state: join(folder, `state-${states++}`), join: source, log: () => {} });

async function tokenOf(claims: JWTPayload): Promise<string> {
  const iat = Math.floor(Date.now() / 1_000);
  return issuer.sign({ iss: issuer.issuer, aud: AUDIENCE, sub: 'pod', jti: String(Math.random()), iat, exp: iat + 600, ...claims });
}

function byOidc(token: string, more: Partial<Extract<JoinSource, { readonly oidcTokenFile: string }>> = {}): JoinSource {
  const oidcTokenFile = join(folder, `token-${states}`);
  writeFileSync(oidcTokenFile, `${token}\n`);
  return { oidcTokenFile, rootFile, controlPlane: 'spiffe://acme.example/test/countersign/control-plane', ...more };
}

test('one service joins by join token, one by the token of an issuer, and they call each other', async () => {
  const { token } = await post<{ readonly token: string }>('/v1/join-tokens', { proxy: 'stock-1' });
  await using stock = await openBy({ token });
  const callers: Caller[] = [];
  const port = await listening(
    stock.createServer({ endpoint: 'stock' }, (request, response) => {
      callers.push(identityOf(request));
      response.end('ok');
    }),
  );
  await post('/v1/declarations', { text: fleet.replace('PORT', String(port)) });
  await using orders = await openBy(byOidc(await tokenOf({ service: 'orders' })));
  assert.equal(orders.spiffeId, 'spiffe://acme.example/test/orders');
  assert.equal(await (await orders.fetch('http://stock/')).text(), 'ok');
  assert.deepEqual([callers[0]!.mode, callers[0]!.verdict, callers[0]!.reason], ['observe', 'would-refuse', 'plaintext']);
  await orders.renew();
  await assert.rejects(openBy({ token }), { code: 'token-refused' });
});

test('a rule may name the data plane, where its SPIFFE ID is that of several', async () => {
  await using batch = await openBy(byOidc(await tokenOf({ service: 'named' })));
  assert.equal(batch.spiffeId, 'spiffe://acme.example/test/batch');
});

test('a token of an issuer joins once, and only as what a rule with the door join says', async () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['a rule without the door', await tokenOf({ service: 'stock' }), 'no-rule'],
    ['two data planes of that name', await tokenOf({ service: 'batch' }), 'no-rule'],
    ['no data plane of that name', await tokenOf({ service: 'nobody' }), 'no-rule'],
    ['no rule', await tokenOf({ service: 'payments' }), 'no-rule'],
    ['another audience', await tokenOf({ service: 'orders', aud: 'https://other.example' }), 'wrong-audience'],
    ['expired', await tokenOf({ service: 'orders', iat: 1, exp: 2 }), 'expired'],
    ['another issuer', await tokenOf({ service: 'orders', iss: 'https://evil.example' }), 'unknown-issuer'],
  ];
  for (const [name, token, reason] of cases) {
    logged.length = 0;
    await assert.rejects(openBy(byOidc(token)), { code: 'token-refused', message: 'Cannot use token: it is not accepted here' }, name);
    assert.deepEqual(refusals(), [reason], name);
  }
  const once = await tokenOf({ service: 'named' });
  await (await openBy(byOidc(once))).close(0);
  logged.length = 0;
  await assert.rejects(openBy(byOidc(once)), { code: 'token-refused' });
  assert.deepEqual(refusals(), ['replayed']);
});

test('a token is not shown to a control plane of another name or another root', async () => {
  const token = await tokenOf({ service: 'orders' });
  const otherRoot = join(folder, 'other.pem');
  writeFileSync(otherRoot, encodePem('CERTIFICATE', makeTestAuthority(Date.now()).root.der));
  logged.length = 0;
  await assert.rejects(openBy(byOidc(token, { rootFile: otherRoot })), { code: 'control-plane-unverified' });
  await assert.rejects(openBy(byOidc(token, { controlPlane: 'spiffe://acme.example/other/countersign/control-plane' })), {
    code: 'control-plane-unverified',
  });
  await assert.rejects(openBy(byOidc(token, { rootFile: join(folder, 'none.pem') })), { code: 'input-invalid' });
  await (await openBy(byOidc(token))).close(0);
  assert.deepEqual(refusals(), [], 'it was used by none of them');
});
