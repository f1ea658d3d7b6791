import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { connect as connectPlain } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { type AdminApi, type ApiAnswer, openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { createBootstrapToken } from '../../control/access/bootstrap-token.ts';
import { listAccessTokens } from '../../control/access/store.ts';
import { type Role, roleCovers, roles } from '../../control/access/role.ts';
import { readSnapshot } from '../../control/inventory/snapshot.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Route } from './route.ts';
import { type RouteName, routes } from './routes.ts';

const all = Object.entries(routes) as [RouteName, Route][];
const guarded = all.filter(([, { role }]) => role !== undefined);

const fleet = (environment: string): string => `
apiVersion: countersign/v1
kind: Service
name: web
owner: web
environment: ${environment}
---
apiVersion: countersign/v1
kind: Service
name: orders
owner: commerce
environment: ${environment}
---
apiVersion: countersign/v1
kind: Endpoint
name: orders-api
service: orders
protocol: http
addresses: ["127.0.0.1:8111"]
owner: commerce
environment: ${environment}
allowedCallers: [web]
---
apiVersion: countersign/v1
kind: Proxy
name: orders-1
service: orders
role: sidecar
environment: ${environment}
inbound: [{ endpoint: orders-api, listen: "127.0.0.1:8111", upstream: "127.0.0.1:8112" }]
---
apiVersion: countersign/v1
kind: Profile
name: approved
base: workload
environment: ${environment}
askers: { rest: {} }
approvals: {}
---
apiVersion: countersign/v1
kind: Target
name: all
endpoints: all
environment: ${environment}
`;

const newCsr = (asked: Parameters<typeof buildCertificateRequest>[0] = {}): string =>
  encodePem('CERTIFICATE REQUEST', buildCertificateRequest(asked, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey));

/** A good request for each route, about things of one environment that are there. */
type Sample = { readonly path?: string; readonly query?: string; readonly body?: unknown };
async function samplesIn(api: AdminApi, environment: string, admin: string): Promise<{ readonly [Name in RouteName]: Sample }> {
  await api.call({ method: 'POST', path: '/v1/declarations', token: admin, body: { text: fleet(environment) } });
  const issue = { environment, csr: newCsr(), profile: 'workload', spiffeId: `spiffe://acme.example/${environment}/web` };
  const issued = await api.call({ method: 'POST', path: '/v1/certificates', token: admin, body: issue });
  assert.equal(issued.status, 201, issued.text);
  const { serial } = issued.json as { readonly serial: string };
  const asked = { ...issue, csr: newCsr(), profile: 'approved' };
  const filed = await api.call({ method: 'POST', path: '/v1/certificates', token: admin, body: asked });
  assert.equal(filed.status, 202, filed.text);
  const requestId = filed.json.request.id as string;
  const paths = await api.call({ method: 'GET', path: `/v1/paths?environment=${environment}`, token: admin });
  const pathId = paths.json.items[0].id as string;
  await api.call({ method: 'POST', path: '/v1/join-tokens', token: admin, body: { environment, proxy: 'orders-1' } });
  const joins = await api.call({ method: 'GET', path: `/v1/join-tokens?environment=${environment}`, token: admin });
  const joinTokenId = joins.json.items[0].id as string;
  const challenge = await api.call({
    method: 'POST',
    path: '/v1/scep-challenges',
    token: admin,
    body: { environment, profile: 'server', dnsNames: ['b.example'] },
  });
  const binding = await api.call({
    method: 'POST',
    path: '/v1/acme-bindings',
    token: admin,
    body: { environment, name: 'web', role: 'ci' },
  });
  const shared = await api.call({
    method: 'POST',
    path: '/v1/cmp-secrets',
    token: admin,
    body: { environment, name: 'printers', dnsNames: ['printer.acme.test'] },
  });
  assert.equal(shared.status, 201, shared.text);
  const spiffeId = `spiffe://acme.example/${environment}/orders`;
  const external = {
    environment,
    name: 'public',
    directoryUrl: 'https://ca.example/directory',
    allowedNames: ['www.acme.test'],
    challenge: 'http-01',
  };
  await api.call({ method: 'POST', path: '/v1/external-authorities', token: admin, body: external });
  const externalOrder = { environment, authority: 'public', csr: newCsr({ dnsNames: ['www.acme.test'] }) };
  const ordered = await api.call({ method: 'POST', path: '/v1/external-orders', token: admin, body: externalOrder });
  assert.equal(ordered.status, 201, ordered.text);
  const named = { query: `environment=${environment}` };
  const order = { body: { environment } };
  return {
    'exchange-bootstrap-token': { body: { token: 'cst1.x', name: 'ada' } },
    'show-caller': {},
    'list-tokens': {},
    'create-token': { body: { name: 'ci', role: 'ci' } },
    'revoke-token': { path: '/v1/tokens/token_00000000000000000000000000' },
    'list-join-tokens': named,
    'create-join-token': { body: { environment, proxy: 'orders-1' } },
    'list-identity-providers': {},
    'set-identity-provider': { body: { name: 'ci', spec: {} } },
    'remove-identity-provider': { path: '/v1/identity-providers/provider_00000000000000000000000000' },
    'revoke-join-token': { path: `/v1/join-tokens/${joinTokenId}` },
    'list-suspensions': named,
    'suspend-identity': { body: { spiffeId, reason: 'test' } },
    'resume-identity': { body: { spiffeId, reason: 'test' } },
    'diff-declaration': { body: { text: fleet(environment) } },
    'apply-declaration': { body: { text: fleet(environment) } },
    'list-services': named,
    'list-endpoints': named,
    'list-paths': named,
    'list-exceptions': named,
    'list-policies': named,
    'list-profiles': named,
    'list-targets': named,
    'list-discovered': named,
    'record-discovered': { body: { environment, observations: [{ address: '127.0.0.1:8111', plaintextHttp: null, tls: null }] } },
    'list-proxies': named,
    'request-renewal': { ...named, body: { subject: { kind: 'all' } } },
    'rotate-ticket-keys': { ...named, body: { rotation: 'step' } },
    'list-certificates': named,
    'issue-certificate': { body: { ...issue, csr: newCsr() } },
    'show-certificate': { path: `/v1/certificates/${serial}` },
    'renew-certificate': { path: `/v1/certificates/${serial}/renewal`, body: { csr: newCsr() } },
    'revoke-certificate': { path: `/v1/certificates/${serial}/revocation`, body: {} },
    'revoke-certificates': { body: { environment, serial: '00'.repeat(17), dryRun: true } },
    'explain-issuance': { body: { environment, profile: 'server', door: 'rest', dnsNames: ['a.test'] } },
    'replay-issuances': { body: { environment } },
    'renew-by-certificate': { body: { csr: newCsr() } },
    'list-issuance-requests': named,
    'show-issuance-request': { path: `/v1/issuance-requests/${requestId}` },
    'approve-issuance-request': { path: `/v1/issuance-requests/${requestId}/approval`, body: {} },
    'deny-issuance-request': { path: `/v1/issuance-requests/${requestId}/denial`, body: {} },
    'list-authorities': {},
    'read-trust-bundle': {},
    'list-rollouts': named,
    'show-rollout': { path: '/v1/rollouts/all', ...named },
    'plan-rollout': { path: '/v1/rollouts/all/plan', ...named },
    'start-rollout': { path: '/v1/rollouts/all/start', ...order },
    'pause-rollout': { path: '/v1/rollouts/all/pause', ...order },
    'retry-rollout': { path: '/v1/rollouts/all/retry', ...order },
    'weaken-path': { path: `/v1/paths/${pathId}/weaken`, body: { to: 'observe', until: api.clock.now() + 60_000, reason: 'test' } },
    'read-coverage': named,
    'list-refusals': named,
    'list-drills': named,
    'show-drill-run': { path: '/v1/drills/drill_00000000000000000000000000' },
    'order-drills': { body: { environment } },
    'search-log': named,
    'erase-person': { body: { name: 'nobody' } },
    'read-checkpoint': {},
    'read-verifier': {},
    'read-tile': { path: '/log/tile/0/000' },
    health: {},
    metrics: {},
    'list-acme-bindings': named,
    'list-scep-challenges': named,
    'create-scep-challenge': { body: { environment, profile: 'server', dnsNames: ['a.example'] } },
    'revoke-scep-challenge': { path: `/v1/scep-challenges/${challenge.json.id}` },
    'create-acme-binding': { body: { environment, name: 'web', role: 'ci' } },
    'list-cmp-secrets': named,
    'create-cmp-secret': { body: { environment, name: 'printers', dnsNames: ['printer.acme.test'] } },
    'declare-external-authority': { body: { ...external, name: 'other' } },
    'list-federated-domains': named,
    'read-own-bundle': {},
    'list-external-authorities': named,
    'create-external-order': { body: externalOrder },
    'list-external-orders': named,
    'show-external-order': { path: `/v1/external-orders/${ordered.json.id}` },
    'import-certificate': { body: { environment, pem: 'none' } },
    'revoke-cmp-secret': { path: `/v1/cmp-secrets/${shared.json.reference}` },
    'revoke-acme-binding': { path: `/v1/acme-bindings/${binding.json.keyId}` },
  };
}

/** Makes the request of a sample. */
function callOf(
  name: RouteName,
  { path, query, body }: Sample,
): { readonly method: string; readonly path: string; readonly body?: unknown } {
  const route: Route = routes[name];
  const where = `${path ?? route.path}${query === undefined ? '' : `?${query}`}`;
  return { method: route.method, path: where, ...(body === undefined ? {} : { body }) };
}

function isProblem({ status, headers, json }: ApiAnswer, code: string, what: string): void {
  assert.equal(json?.code, code, `${what}: ${status} ${JSON.stringify(json)}`);
  assert.equal(json.status, status, what);
  assert.match(String(headers['content-type']), /^application\/problem\+json/, what);
  assert.equal(headers['x-request-id'], json.requestId, what);
}

forEachDatabase('REST', (newUrl) => {
  let api: AdminApi;
  let admin: string;
  let samples: Awaited<ReturnType<typeof samplesIn>>;
  let state: () => Promise<unknown>;

  const read = async (path: string) => (await api.call({ method: 'GET', path, token: admin })).json;

  before(async () => {
    api = (await openAdminApi(await newUrl())) as AdminApi;
    admin = await api.tokenOf('admin');
    samples = await samplesIn(api, 'test', admin);
    state = async () => ({
      inventory: await readSnapshot(api.database.queries),
      tokens: (await listAccessTokens(api.database.queries, { endedAfter: 0 })).length,
      entries: api.entries.filter(({ type }) => type !== 'request.refused').length,
    });
  });
  after(async () => api[Symbol.asyncDispose]());

  describe('refusals', () => {
    test('every guarded route refuses whoever has no live token', async () => {
      const unchanged = await state();
      const dead = [undefined, 'x', `${admin.slice(0, -1)}${admin.endsWith('A') ? 'B' : 'A'}`, 'cst1.token_00000000000000000000000000.x'];
      for (const [name] of guarded) {
        for (const token of dead) {
          const answer = await api.call({ ...callOf(name, samples[name]), ...(token === undefined ? {} : { token }) });
          isProblem(answer, 'unauthenticated', name);
          assert.equal(answer.headers['www-authenticate'], 'Bearer');
        }
      }
      assert.deepEqual(await state(), unchanged);
    });

    test('every guarded route refuses every role that does not cover its own', async () => {
      const tokens = new Map<Role, string>();
      for (const role of roles) tokens.set(role, await api.tokenOf(role));
      const unchanged = await state();
      for (const [name, { role }] of guarded) {
        for (const other of roles.filter((held) => !roleCovers(held, role!))) {
          isProblem(await api.call({ ...callOf(name, samples[name]), token: tokens.get(other)! }), 'forbidden', `${name} as ${other}`);
        }
      }
      assert.deepEqual(await state(), unchanged);
    });

    test('every guarded route about an environment refuses a token of another one', async () => {
      const tokens = new Map<Role, string>();
      for (const role of roles) tokens.set(role, await api.tokenOf(role, ['elsewhere']));
      const unchanged = await state();
      for (const [name, { role, scope }] of guarded.filter(([, route]) => route.scope !== 'none')) {
        const answer = await api.call({ ...callOf(name, samples[name]), token: tokens.get(role!)! });
        // The one sample that names a record which is not there.
        if (name === 'show-drill-run') isProblem(answer, 'not-found', name);
        else isProblem(answer, 'forbidden', `${name} of scope ${scope}`);
      }
      assert.deepEqual(await state(), unchanged);
    });

    test("a route of scope one that names no environment is about the control plane's own", async () => {
      const token = await api.tokenOf('operator', ['elsewhere']);
      isProblem(await api.call({ method: 'GET', path: '/v1/coverage', token }), 'forbidden', 'coverage');
      isProblem(await api.call({ method: 'POST', path: '/v1/join-tokens', token, body: { proxy: 'orders-1' } }), 'forbidden', 'join token');
    });

    test('nobody binds an ACME account to a role that his own does not cover; what is bound is taken back once', async () => {
      const token = await api.tokenOf('operator');
      const create = (role: string) => api.call({ method: 'POST', path: '/v1/acme-bindings', token, body: { name: 'web', role } });
      isProblem(await create('admin'), 'forbidden', 'admin');
      isProblem(await create('partner-manager'), 'forbidden', 'partner-manager');
      isProblem(await create('viewer'), 'input-invalid', 'a role that asks for nothing');
      const made = await create('ci');
      assert.equal(made.status, 201, made.text);
      assert.match(made.json.macKey, /^[A-Za-z0-9_-]{43}$/);
      assert.equal(JSON.stringify(api.entries).includes(made.json.macKey), false);
      const revoke = { method: 'DELETE', path: `/v1/acme-bindings/${made.json.keyId}`, token };
      assert.equal((await api.call(revoke)).status, 204);
      isProblem(await api.call(revoke), 'state-conflict', 'again');
      isProblem(await api.call({ ...revoke, path: '/v1/acme-bindings/token_00000000000000000000000000' }), 'not-found', 'unknown');
    });

    test('a list without an environment shows those of the token only', async () => {
      await samplesIn(api, 'stage', admin);
      const token = await api.tokenOf('admin', ['stage']);
      for (const [name, { path, method, scope, body }] of guarded) {
        if (scope !== 'listed' || method !== 'GET' || body !== undefined) continue;
        const { json, status } = await api.call({ method, path, token });
        assert.equal(status, 200, name);
        for (const item of json.items) assert.equal(item.environment, 'stage', name);
      }
    });

    test('documents of an environment that the token does not cover change nothing, whatever else stands beside them', async () => {
      const token = await api.tokenOf('operator', ['stage']);
      const unchanged = await state();
      const mixed = `${fleet('stage').replace('owner: web', 'owner: somebody')}---${fleet('test').replace('owner: web', 'owner: thief')}`;
      for (const path of ['/v1/declarations', '/v1/declarations/diff']) {
        isProblem(await api.call({ method: 'POST', path, token, body: { text: mixed } }), 'forbidden', path);
      }
      assert.deepEqual(await state(), { ...(unchanged as object) });
    });

    test('what is refused is logged once a minute and kind, with how often', async () => {
      const refusals = () => api.entries.filter(({ type, data }) => type === 'request.refused' && data['route'] === 'list-authorities');
      const knock = () => api.call({ method: 'GET', path: '/v1/authorities' });
      api.clock.advance(120_000);
      const start = refusals().length;
      for (let times = 0; times < 5; times++) await knock();
      assert.equal(refusals().length, start + 1);
      api.clock.advance(61_000);
      await knock();
      assert.equal(refusals().length, start + 2);
      assert.equal(refusals().at(-1)?.data['alikeSinceLastEntry'], 4);
      assert.equal(refusals().at(-1)?.actor.name, 'nobody');
    });

    test('a token that ended or expired is refused at the next request', async () => {
      const made = await api.call({
        method: 'POST',
        path: '/v1/tokens',
        token: admin,
        body: { name: 'brief', role: 'viewer', ttlMs: 1_000 },
      });
      const { id, token } = made.json as { readonly id: string; readonly token: string };
      const caller = () => api.call({ method: 'GET', path: '/v1/caller', token });
      assert.equal((await caller()).status, 200);
      api.clock.advance(1_000);
      isProblem(await caller(), 'unauthenticated', 'expired');
      const other = (await api.call({ method: 'POST', path: '/v1/tokens', token: admin, body: { name: 'other', role: 'viewer' } })).json;
      assert.equal((await api.call({ method: 'DELETE', path: `/v1/tokens/${other.id}`, token: admin })).status, 204);
      isProblem(await api.call({ method: 'GET', path: '/v1/caller', token: other.token }), 'unauthenticated', 'ended');
      assert.match(id, /^token_/);
    });
  });

  describe('bad input', () => {
    const bodies: readonly (readonly [string, string | Buffer, string])[] = [
      ['no JSON', '{', 'input-invalid'],
      ['a cut string', '{"name": "', 'input-invalid'],
      ['nothing', '', 'input-invalid'],
      ['null', 'null', 'input-invalid'],
      ['a list', '[]', 'input-invalid'],
      ['a number', '1', 'input-invalid'],
      ['a text', '"x"', 'input-invalid'],
      ['an unknown key', '{"surprise": 1}', 'input-invalid'],
      ['a poisoned key', '{"__proto__": {"role": "admin"}}', 'input-invalid'],
      ['a poisoned constructor', '{"constructor": {"prototype": {}}}', 'input-invalid'],
      ['octets that are no UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 'input-invalid'],
      ['depth', `${'['.repeat(20_000)}${']'.repeat(20_000)}`, 'input-invalid'],
    ];

    test('a body that is not as documented is refused by every route that takes one, and changes nothing', async () => {
      const unchanged = await state();
      for (const [name, { body, method }] of all) {
        if (body === undefined) continue;
        for (const [what, raw, code] of bodies) {
          const answer = await api.call({ ...callOf(name, samples[name]), method, token: admin, raw });
          isProblem(answer, code, `${name}: ${what}`);
        }
      }
      assert.deepEqual(await state(), unchanged);
    });

    test('a body that is too large is refused by every route that takes one, before it is read', async () => {
      const unchanged = await state();
      for (const [name, { body, method, bodyLimit = 65_536 }] of all) {
        if (body === undefined) continue;
        // What is announced is enough.
        const headers = { 'content-length': String(bodyLimit + 1), expect: '100-continue' };
        const answer = await api.call({ ...callOf(name, samples[name]), method, token: admin, raw: `"${'x'.repeat(bodyLimit)}`, headers });
        isProblem(answer, 'body-too-large', name);
      }
      assert.deepEqual(await state(), unchanged);
    });

    test('a body of another kind is refused', async () => {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml']) {
        const call = { method: 'POST', path: '/v1/tokens', token: admin, raw: 'name=x', headers: { 'content-type': type } };
        isProblem(await api.call(call), 'media-type-unsupported', type);
      }
    });

    test('a value of the wrong type is refused, never coerced', async () => {
      const unchanged = await state();
      const wrong: readonly unknown[] = [
        { name: 1, role: 'viewer' },
        { name: 'x', role: ['viewer'] },
        { name: 'x', role: 'viewer', ttlMs: '60000' },
        { name: 'x', role: 'viewer', ttlMs: 1.5 },
        { name: 'x', role: 'viewer', environments: 'test' },
        { name: 'x', role: 'viewer', environments: [] },
        { name: 'x', role: 'root' },
        { name: '', role: 'viewer' },
        { name: 'x\u001b[31m', role: 'viewer' },
        { name: 'x' },
      ];
      for (const body of wrong) {
        isProblem(await api.call({ method: 'POST', path: '/v1/tokens', token: admin, body }), 'input-invalid', JSON.stringify(body));
      }
      assert.deepEqual(await state(), unchanged);
    });

    test('queries and paths that are not as documented are refused', async () => {
      for (const path of [
        '/v1/services?colour=blue',
        '/v1/services?environment=',
        '/v1/services?environment=a&environment=b',
        '/v1/caller?x=1',
        '/v1/certificates?limit=0',
        '/v1/certificates?limit=1001',
        '/v1/certificates?limit=1e3',
        '/v1/certificates?before=x',
        '/v1/certificates?identity=orders',
        '/v1/certificates/xyz',
        `/v1/certificates/${'00'.repeat(40)}`,
        '/v1/rollouts/..%2f..%2fetc',
        '/v1/drills/drill_x',
        '/v1/coverage?from=2&to=1',
        '/v1/coverage?from=-1',
        '/v1/audit/entries?type=%27%20or%201%3D1',
        '/v1/audit/entries?before=abc',
      ]) {
        isProblem(await api.call({ method: 'GET', path, token: admin }), 'input-invalid', path);
      }
    });

    test('what is not a route is not found, and a broken URL is refused', async () => {
      for (const [method, path] of [
        ['GET', '/'],
        ['GET', '/v2/services'],
        ['PUT', '/v1/services'],
        ['GET', '/v1/services/'],
        ['GET', '//v1/services'],
        ['POST', '/healthz'],
        ['GET', '/v1/SERVICES'],
      ] as const) {
        isProblem(await api.call({ method, path, token: admin }), 'not-found', `${method} ${path}`);
      }
      const answer = await api.call({ method: 'GET', path: '/v1/certificates/%zz', token: admin });
      isProblem(answer, 'input-invalid', 'broken escape');
    });

    test('YAML and certificate requests that are broken are refused with a code, and change nothing', async () => {
      const unchanged = await state();
      for (const text of ['{', 'kind: Service', '- x', 'apiVersion: countersign/v1\nkind: Service\nname: a\nowner: b\nextra: c\n']) {
        isProblem(await api.call({ method: 'POST', path: '/v1/declarations', token: admin, body: { text } }), 'input-invalid', text);
      }
      const good = newCsr();
      const forged = Buffer.from(good.split('\n').slice(1, -2).join(''), 'base64');
      forged[forged.length - 3]! ^= 1;
      for (const [csr, code] of [
        ['x', 'csr-malformed'],
        ['AAAA', 'csr-malformed'],
        ['?'.repeat(100), 'csr-malformed'],
        [good + good, 'csr-malformed'],
        [good.slice(0, 100), 'der-malformed'],
        [encodePem('CERTIFICATE REQUEST', forged), 'csr-malformed'],
        [good.replaceAll('CERTIFICATE REQUEST', 'PRIVATE KEY'), 'csr-malformed'],
      ] as const) {
        const body = { csr, profile: 'workload', spiffeId: 'spiffe://acme.example/test/web' };
        isProblem(await api.call({ method: 'POST', path: '/v1/certificates', token: admin, body }), code, csr.slice(0, 60));
      }
      assert.deepEqual(await state(), unchanged);
    });

    test('what policy refuses comes with every reason', async () => {
      const body = { csr: newCsr(), profile: 'workload', spiffeId: 'spiffe://evil.example/test/countersign/control-plane' };
      const answer = await api.call({ method: 'POST', path: '/v1/certificates', token: admin, body });
      isProblem(answer, 'issuance-refused', 'foreign identity');
      assert.ok(answer.json.reasons.length >= 1);
    });

    test('an error inside tells the outside its request id and nothing else', async () => {
      const healthy = api.handlers.health;
      api.handlers.health = async () => {
        throw new Error('password=hunter2 at /var/lib/secret');
      };
      const answer = await api.call({ method: 'GET', path: '/healthz' });
      api.handlers.health = healthy;
      isProblem(answer, 'internal', 'health');
      assert.doesNotMatch(answer.text, /hunter2|secret|Error/);
      assert.equal(api.logged.at(-1)?.fields['requestId'], answer.json.requestId);
    });
  });

  describe('the way in', () => {
    test('a bootstrap token is exchanged once, and guessing is limited', async () => {
      const bootstrap = (await createBootstrapToken(api, { environment: 'test', region: 'local' }, api.clock.now())).reveal();
      const exchange = (token: string) => api.call({ method: 'POST', path: '/v1/bootstrap-exchange', body: { token, name: 'ada' } });
      api.clock.advance(61_000);
      const first = await exchange(bootstrap);
      assert.equal(first.status, 201);
      const caller = await api.call({ method: 'GET', path: '/v1/caller', token: first.json.token });
      assert.deepEqual([caller.json.name, caller.json.role, caller.json.environments], ['ada', 'admin', '*']);
      isProblem(await exchange(bootstrap), 'token-refused', 'second use');
      isProblem(await api.call({ method: 'GET', path: '/v1/caller', token: bootstrap }), 'unauthenticated', 'no bearer token');
      const codes = new Set<string>();
      for (let times = 0; times < 12; times++) codes.add((await exchange('guess')).json.code);
      assert.deepEqual(codes, new Set(['token-refused', 'rate-limited']));
      const next = (await createBootstrapToken(api, { environment: 'test', region: 'local' }, api.clock.now())).reveal();
      assert.equal((await exchange(`${next.slice(0, -1)}${next.endsWith('A') ? 'B' : 'A'}`)).json.code, 'rate-limited');
      // Guessers shut out nobody who holds the token.
      assert.equal((await exchange(next)).status, 201);
    });

    test('secrets are answered once, and stand in no list and no log', async () => {
      const made = await api.call({
        method: 'POST',
        path: '/v1/tokens',
        token: admin,
        body: { name: 'pipeline', role: 'ci', environments: ['test'] },
      });
      const secret = made.json.token.split('.').at(-1) as string;
      const join = await api.call({ method: 'POST', path: '/v1/join-tokens', token: admin, body: { proxy: 'orders-1' } });
      assert.match(join.json.token, /^csjoin1\./);
      const lists = await Promise.all(['/v1/tokens', '/v1/join-tokens'].map((path) => api.call({ method: 'GET', path, token: admin })));
      for (const { text } of lists) assert.ok(!text.includes(secret) && !text.includes('secret'));
      assert.ok(!JSON.stringify([api.entries, api.logged]).includes(secret));
    });
  });

  describe('answers', () => {
    test('carry headers that keep browsers and caches out', async () => {
      const { headers } = await api.call({ method: 'GET', path: '/v1/services', token: admin });
      assert.equal(headers['cache-control'], 'no-store');
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.match(String(headers['content-security-policy']), /default-src 'none'/);
      assert.match(String(headers['strict-transport-security']), /max-age/);
      const bad = await api.call({ method: 'GET', path: '/v1/services' });
      assert.equal(bad.headers['x-content-type-options'], 'nosniff');
    });

    test('say how far the fleet is', async () => {
      const [path] = (await read('/v1/paths?environment=test')).items;
      assert.deepEqual([path.endpoint, path.protection, path.mode, path.origination], ['orders-api', 'mutual', 'observe', 'plaintext']);
      const [proxy] = (await read('/v1/proxies?environment=test')).items;
      assert.deepEqual([proxy.name, proxy.service, proxy.delivery, proxy.connected], ['orders-1', 'orders', 'pending', false]);
      const coverage = await read('/v1/coverage?environment=test');
      assert.deepEqual([coverage.paths.total, coverage.paths.enforced, coverage.endpoints.total], [1, 0, 1]);
    });

    test('page through certificates without gap or repeat', async () => {
      for (let made = 0; made < 5; made++) {
        api.clock.advance(1_000);
        const body = { csr: newCsr(), profile: 'workload', spiffeId: 'spiffe://acme.example/test/web' };
        assert.equal((await api.call({ method: 'POST', path: '/v1/certificates', token: admin, body })).status, 201);
      }
      const whole = (await read('/v1/certificates?limit=1000')).items.map(({ serial }: { readonly serial: string }) => serial) as string[];
      const paged: string[] = [];
      let next: string | null = '';
      while (next !== null) {
        const page: { readonly items: readonly { readonly serial: string }[]; readonly next: string | null } = await read(
          `/v1/certificates?limit=2${next === '' ? '' : `&before=${next}`}`,
        );
        paged.push(...page.items.map(({ serial }) => serial));
        next = page.next;
      }
      assert.deepEqual(paged, whole);
      assert.ok((await read('/v1/certificates?identity=spiffe://acme.example/test/web')).items.length >= 5);
      assert.deepEqual((await read('/v1/certificates?identity=spiffe://acme.example/test/nobody')).items, []);
    });

    test('a certificate is issued, shown, renewed and revoked', async () => {
      const body = { csr: newCsr(), profile: 'workload', spiffeId: 'spiffe://acme.example/test/orders' };
      const issued = (await api.call({ method: 'POST', path: '/v1/certificates', token: admin, body })).json;
      assert.match(issued.pem, /^-----BEGIN CERTIFICATE-----/);
      const at = `/v1/certificates/${issued.serial}`;
      const renewed = await api.call({ method: 'POST', path: `${at}/renewal`, token: admin, body: { csr: newCsr() } });
      assert.equal(renewed.status, 201, renewed.text);
      assert.equal(renewed.json.spiffeId, issued.spiffeId);
      const revoked = await api.call({ method: 'POST', path: `${at}/revocation`, token: admin, body: { reason: 'superseded' } });
      assert.equal(revoked.status, 200, revoked.text);
      isProblem(await api.call({ method: 'POST', path: `${at}/revocation`, token: admin, body: {} }), 'state-conflict', 'twice');
      isProblem(
        await api.call({ method: 'POST', path: `${at}/renewal`, token: admin, body: { csr: newCsr() } }),
        'issuance-refused',
        'revoked',
      );
      const shown = await api.call({ method: 'GET', path: at, token: admin });
      assert.deepEqual([shown.json.revocationReason, shown.json.profile], ['superseded', 'workload']);
      isProblem(await api.call({ method: 'GET', path: '/v1/certificates/0102', token: admin }), 'not-found', 'unknown serial');
    });

    test('an identity is suspended and resumed, once each, and only ours', async () => {
      const change = (verb: string, spiffeId: string) =>
        api.call({ method: 'POST', path: `/v1/identities/${verb}`, token: admin, body: { spiffeId, reason: 'leak' } });
      const orders = 'spiffe://acme.example/test/orders';
      assert.equal((await change('suspend', orders)).status, 200);
      isProblem(await change('suspend', orders), 'state-conflict', 'twice');
      const list = await api.call({ method: 'GET', path: '/v1/suspensions', token: admin });
      assert.deepEqual(
        list.json.items.map(({ spiffeId }: { readonly spiffeId: string }) => spiffeId),
        [orders],
      );
      assert.equal((await change('resume', orders)).status, 200);
      isProblem(await change('resume', orders), 'state-conflict', 'twice');
      isProblem(await change('suspend', 'spiffe://evil.example/test/orders'), 'input-invalid', 'foreign');
      isProblem(await change('suspend', 'spiffe://acme.example/test/countersign/control-plane'), 'input-invalid', 'control plane');
      isProblem(await change('suspend', 'spiffe://acme.example/../orders'), 'identity-malformed', 'malformed');
    });

    test('are counted by route and status, with the table row and not the URL', async () => {
      await api.call({ method: 'GET', path: '/v1/certificates/0102', token: admin });
      assert.match(api.metrics.render(), /countersign_requests_total\{route="GET \/v1\/certificates\/:serial",status="404"\} \d+/);
    });
  });

  describe('the listener', () => {
    test('speaks TLS 1.3 only', async () => {
      const { port } = api.server;
      const version = async (maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<string | null> => {
        const { promise, resolve } = Promise.withResolvers<string | null>();
        const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion }, () => resolve(socket.getProtocol()));
        socket.on('error', () => resolve(null));
        const seen = await promise;
        socket.destroy();
        return seen;
      };
      assert.equal(await version('TLSv1.3'), 'TLSv1.3');
      assert.equal(await version('TLSv1.2'), null);
    });

    test('answers no plaintext', async () => {
      const { promise, resolve } = Promise.withResolvers<string>();
      let heard = '';
      const socket = connectPlain(api.server.port, '127.0.0.1', () => socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'));
      socket.on('data', (data) => (heard += data.toString('latin1')));
      socket.on('error', () => resolve(heard));
      socket.on('close', () => resolve(heard));
      assert.doesNotMatch(await promise, /HTTP\/1\.1/);
    });

    test('takes a new certificate without closing', async () => {
      const fresh = api.transport.issue({ ips: ['127.0.0.1'], usages: ['server'] });
      api.server.setCredentials({ chain: fresh.chain, key: fresh.key });
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const socket = connect({ port: api.server.port, host: '127.0.0.1', rejectUnauthorized: false }, () =>
        resolve(socket.getPeerCertificate().raw.toString('hex')),
      );
      socket.on('error', reject);
      assert.equal(await promise, Buffer.from(fresh.certificate.der).toString('hex'));
      socket.destroy();
    });
  });
});
