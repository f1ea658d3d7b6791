import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { SignJWT, UnsecuredJWT } from 'jose';
import { openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { startTokenIssuer } from '../../../test/support/token-issuer.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';

const AUDIENCE = 'https://countersign.example';

forEachDatabase('tokens of other issuers buy what their rules grant', (newUrl) => {
  async function open() {
    const issuer = await startTokenIssuer();
    const api = await openAdminApi(await newUrl());
    const rules = [
      {
        name: 'deploy',
        match: { repository: 'acme/orders', ref: 'refs/heads/main' },
        profiles: ['server'],
        dnsNames: ['{last:repository}.acme.example'],
        maxLifetimeMs: HOUR_MS,
      },
    ];
    const spec = { issuer: issuer.issuer, audience: AUDIENCE, anchorsPem: issuer.anchorsPem, rules };
    const admin = await api.tokenOf('admin');
    const set = await api.call({ method: 'POST', path: '/v1/identity-providers', token: admin, body: { name: 'ci', spec } });
    assert.equal(set.status, 201, set.text);
    const csr = buildCertificateRequest(
      { dnsNames: ['orders.acme.example'] },
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    );
    const body = { profile: 'server', dnsNames: ['orders.acme.example'], csr: Buffer.from(csr).toString('base64') };
    const claims = (change: object = {}) => {
      const iat = Math.floor(api.clock.now() / 1000);
      const jti = String(Math.random());
      return {
        iss: issuer.issuer,
        aud: AUDIENCE,
        sub: 'repo:acme/orders',
        jti,
        iat,
        exp: iat + 600,
        repository: 'acme/orders',
        ref: 'refs/heads/main',
        ...change,
      };
    };
    const ask = (token: string, change: object = {}, path = '/v1/certificates') =>
      api.call({ method: 'POST', path, token, body: { ...body, ...change } });
    const reasons = () => api.logged.filter(({ event }) => event === 'machine-token.refused').map(({ fields }) => fields['reason']);
    return {
      issuer,
      api,
      admin,
      spec,
      set,
      claims,
      ask,
      reasons,
      async [Symbol.asyncDispose]() {
        await api[Symbol.asyncDispose]();
        await issuer[Symbol.asyncDispose]();
      },
    };
  }

  test('a token with the right claims buys one certificate, and its grant bounds it', async () => {
    await using lab = await open();
    const { issuer, ask, claims, api } = lab;
    const token = await issuer.sign(claims());
    const issued = await ask(token);
    assert.equal(issued.status, 201, issued.text);
    assert.ok(issued.json.notAfter - api.clock.now() < HOUR_MS, 'no longer than the rule allows');
    assert.equal((await ask(token)).status, 401, 'a second time');
    assert.deepEqual(lab.reasons(), ['replayed']);
    const grants = api.entries.filter(({ type }) => type === 'certificate.issued').map(({ data }) => data['grant']);
    assert.deepEqual(grants, ['ci/deploy']);
    const beyond: readonly (readonly [string, object])[] = [
      ['another name', { dnsNames: ['orders.acme.example', 'pay.acme.example'] }],
      ['a wildcard', { dnsNames: ['*.acme.example', 'orders.acme.example'] }],
      ['an address', { ipAddresses: ['10.0.0.1'] }],
      ['another profile', { profile: 'workload', dnsNames: [], spiffeId: 'spiffe://acme.example/production/orders' }],
      ['another environment', { environment: 'staging' }],
      ['a longer life', { lifetimeMs: 2 * HOUR_MS }],
    ];
    for (const [name, change] of beyond) assert.equal((await ask(await issuer.sign(claims()), change)).status, 403, name);
    assert.equal((await api.call({ method: 'GET', path: '/v1/tokens', token })).status, 401, 'another route');
  });

  test('of another CA a token buys what its rule grants by the door external, once, and sees its own order alone', async () => {
    await using lab = await open();
    const { issuer, claims, api, admin, spec } = lab;
    const deploy = spec.rules[0]!;
    const external = { ...deploy, name: 'public', doors: ['external'], maxLifetimeMs: 90 * DAY_MS };
    const set = (rules: readonly object[]) =>
      api.call({ method: 'POST', path: '/v1/identity-providers', token: admin, body: { name: 'ci', spec: { ...spec, rules } } });
    assert.match((await set([{ ...external, maxLifetimeMs: HOUR_MS }])).text, /with the door external/);
    assert.equal((await set([deploy, external])).status, 201);
    const declared = {
      name: 'public',
      directoryUrl: 'https://ca.example/directory',
      challenge: 'http-01',
      allowedNames: ['*.acme.example'],
    };
    await api.call({ method: 'POST', path: '/v1/external-authorities', token: admin, body: declared });
    const order = (token: string, dnsNames = ['orders.acme.example'], change: object = {}) => {
      const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
      const csr = Buffer.from(buildCertificateRequest({ dnsNames }, key)).toString('base64');
      return api.call({ method: 'POST', path: '/v1/external-orders', token, body: { authority: 'public', csr, ...change } });
    };
    const token = await issuer.sign(claims());
    const ordered = await order(token);
    assert.equal(ordered.status, 201, ordered.text);
    assert.equal((await order(token)).status, 401, 'a second time');
    const show = async (by: string) =>
      (await api.call({ method: 'GET', path: `/v1/external-orders/${ordered.json.id}`, token: by })).status;
    assert.deepEqual([await show(token), await show(await issuer.sign(claims({ sub: 'repo:acme/other' })))], [200, 404]);
    const fresh = async (change: object = {}) => issuer.sign(claims(change));
    const refused = async (answer: ReturnType<typeof order>, reason: RegExp) => assert.match((await answer).json.detail, reason);
    await refused(order(await fresh(), ['pay.acme.example']), /grant: the credential is not for "pay\.acme\.example"/);
    await refused(order(await fresh(), ['*.acme.example']), /grant: /);
    await refused(order(await fresh(), undefined, { profile: 'server-shortlived' }), /grant: the credential is not for profile/);
    assert.equal((await order(await fresh(), undefined, { environment: 'staging' })).status, 403);
    assert.equal((await order(await fresh({ ref: 'refs/pull/1/merge' }))).status, 401);
    assert.equal((await set([deploy])).status, 201);
    await refused(order(await fresh()), /grant: the credential is not for the door external/);
    assert.equal(api.entries.filter(({ type }) => type === 'external-order.requested').length, 1);
    assert.equal(api.entries.find(({ type }) => type === 'external-order.requested')?.data['grant'], 'ci/public');
  });

  test('what waits for approval is not issued once the rule or the issuer that trusted who asked is changed or gone', async () => {
    await using lab = await open();
    const { issuer, claims, api, admin, spec } = lab;
    const text = `apiVersion: countersign/v1\nkind: Profile\nname: payment\nbase: server\naskers: { rest: {}, external: {} }\napprovals: {}`;
    assert.equal((await api.call({ method: 'POST', path: '/v1/declarations', token: admin, body: { text } })).status, 200);
    const rule = { ...spec.rules[0]!, profiles: ['payment'], doors: ['rest', 'external'], maxLifetimeMs: 90 * DAY_MS };
    const set = async (rules: readonly object[]): Promise<string> => {
      const body = { name: 'ci', spec: { ...spec, rules } };
      return (await api.call({ method: 'POST', path: '/v1/identity-providers', token: admin, body })).json.id as string;
    };
    const declared = {
      name: 'public',
      directoryUrl: 'https://ca.example/directory',
      challenge: 'http-01',
      allowedNames: ['*.acme.example'],
      judgedBy: ['payment'],
    };
    await api.call({ method: 'POST', path: '/v1/external-authorities', token: admin, body: declared });
    const file = async (isExternal: boolean): Promise<string> => {
      const token = await issuer.sign(claims());
      const [path, body] = isExternal
        ? ['/v1/external-orders', { authority: 'public', csr: newCsr() }]
        : ['/v1/certificates', { profile: 'payment', dnsNames: ['orders.acme.example'], csr: newCsr() }];
      const answer = await api.call({ method: 'POST', path, token, body });
      assert.equal(answer.status, 202, answer.text);
      return answer.json.request.id as string;
    };
    const approve = async (id: string) =>
      (await api.call({ method: 'POST', path: `/v1/issuance-requests/${id}/approval`, token: admin, body: {} })).json;
    for (const isExternal of [false, true]) {
      await set([rule]);
      const gone = await file(isExternal);
      await set([{ ...rule, name: 'other' }]);
      const first = await approve(gone);
      assert.equal(first.status, 'refused');
      assert.match(first.reason, /rule by which who asked was trusted was changed or withdrawn/);
      await set([rule]);
      const narrowed = await file(isExternal);
      await set([{ ...rule, match: { ...rule.match, environment: 'production' } }]);
      assert.equal((await approve(narrowed)).status, 'refused', 'a claim more is demanded');
      const id = await set([rule]);
      const issuerGone = await file(isExternal);
      await api.call({ method: 'DELETE', path: `/v1/identity-providers/${id}`, token: admin });
      assert.equal((await approve(issuerGone)).status, 'refused', 'the issuer is trusted no more');
      await set([rule]);
      const kept = await file(isExternal);
      await set([{ ...rule }, { ...rule, name: 'beside' }]);
      assert.equal((await approve(kept)).status, isExternal ? 'ordered' : 'issued', 'other rules are other rules');
    }
  });

  test('every other token is refused in the same words, and the log has the reason', async () => {
    await using lab = await open();
    const { issuer, ask, claims, api, reasons } = lab;
    const now = Math.floor(api.clock.now() / 1000);
    const good = await issuer.sign(claims());
    const other = await startTokenIssuer();
    const cases: readonly (readonly [string, string, string])[] = [
      ['wrong audience', await issuer.sign(claims({ aud: 'https://other.example' })), 'wrong-audience'],
      ['unknown issuer', await issuer.sign(claims({ iss: 'https://evil.example' })), 'unknown-issuer'],
      ['signed by another', await other.sign(claims(), { kid: 'first' }), 'signature'],
      ['expired', await issuer.sign(claims({ iat: now - 700, exp: now - 100 })), 'expired'],
      ['not yet valid', await issuer.sign(claims({ nbf: now + 120 })), 'not-yet-valid'],
      ['issued in the future', await issuer.sign(claims({ iat: now + 120 })), 'not-yet-valid'],
      ['good for a week', await issuer.sign(claims({ exp: now + 604_800 })), 'lifetime'],
      ['no expiry', await issuer.sign(claims({ exp: undefined })), 'claims'],
      ['no subject', await issuer.sign(claims({ sub: undefined })), 'claims'],
      ['another repository', await issuer.sign(claims({ repository: 'evil/orders' })), 'no-rule'],
      ['another branch', await issuer.sign(claims({ ref: 'refs/pull/1/merge' })), 'no-rule'],
      ['unknown key', await issuer.sign(claims(), { kid: 'unknown' }), 'unknown-key'],
      ['alg none', `${new UnsecuredJWT(claims()).encode()}`, 'algorithm'],
      ['HS256 with the published key', await hmacSigned(claims(), issuer.state.keys[0]!), 'algorithm'],
      ['a changed payload', tampered(good), 'signature'],
      ['huge', await issuer.sign(claims({ more: 'x'.repeat(9_500) })), 'malformed'],
    ];
    const details = new Set<string>();
    for (const [name, token, reason] of cases) {
      const answer = await ask(token);
      assert.equal(answer.status, 401, `${name}: ${answer.text}`);
      details.add(answer.json.detail);
      assert.equal(reasons().at(-1), reason, name);
    }
    assert.equal(details.size, 1);
    assert.deepEqual(
      api.entries.filter(({ type }) => type === 'machine-token.refused').map(({ data }) => data['reason']),
      [...new Set(cases.map(([, , reason]) => reason))],
      'the first of each reason is in the audit log',
    );
    await other[Symbol.asyncDispose]();
  });

  test('new keys are found, the old ones count for a day without the issuer, and key ids that strangers make up do not reach it', async () => {
    await using lab = await open();
    const { issuer, ask, claims, api } = lab;
    assert.equal((await ask(await issuer.sign(claims()))).status, 201);
    await issuer.rotate('second');
    assert.equal((await ask(await issuer.sign(claims()))).status, 401, 'too soon after the last look');
    api.clock.advance(MINUTE_MS);
    assert.equal((await ask(await issuer.sign(claims()))).status, 201, 'the new key');
    const { asked } = issuer.state;
    for (let count = 0; count < 5; count++) await ask(await issuer.sign(claims(), { kid: `made-up-${count}` }));
    assert.equal(issuer.state.asked, asked, 'no fetch for each');
    issuer.state.isDown = true;
    api.clock.advance(HOUR_MS);
    assert.equal((await ask(await issuer.sign(claims()))).status, 201, 'the issuer is away');
    api.clock.advance(24 * HOUR_MS);
    assert.equal((await ask(await issuer.sign(claims()))).status, 401, 'for too long');
    assert.equal(lab.reasons().at(-1), 'keys-unavailable');
  });

  test('an issuer that discovery calls otherwise, or that is not under the anchors, has no keys; a removed one none of its rules', async () => {
    await using lab = await open();
    const { issuer, ask, claims, api, admin, spec } = lab;
    const set = (change: object) =>
      api.call({ method: 'POST', path: '/v1/identity-providers', token: admin, body: { name: 'ci', spec: { ...spec, ...change } } });
    issuer.state.discovered = { issuer: 'https://evil.example', jwks_uri: `${issuer.issuer}/keys` };
    assert.equal((await ask(await issuer.sign(claims()))).status, 401);
    const { anchorsPem: _anchors, ...bare } = spec;
    assert.equal(
      (await api.call({ method: 'POST', path: '/v1/identity-providers', token: admin, body: { name: 'ci', spec: bare } })).status,
      201,
    );
    assert.equal((await ask(await issuer.sign(claims()))).status, 401);
    assert.deepEqual(lab.reasons(), ['keys-unavailable', 'keys-unavailable']);
    assert.equal((await set({ jwksUri: `${issuer.issuer}/keys` })).status, 201);
    assert.equal((await ask(await issuer.sign(claims()))).status, 201, 'keys without discovery');
    assert.equal((await set({ rules: [] })).status, 400);
    const operator = await api.tokenOf('operator');
    const asOperator = { method: 'POST', path: '/v1/identity-providers', token: operator, body: { name: 'ci', spec } };
    assert.equal((await api.call(asOperator)).status, 403, 'administrators alone');
    const path = `/v1/identity-providers/${lab.set.json.id}`;
    assert.equal((await api.call({ method: 'DELETE', path, token: admin })).status, 204);
    assert.equal((await api.call({ method: 'DELETE', path, token: admin })).status, 404);
    assert.equal((await ask(await issuer.sign(claims()))).status, 401);
    assert.equal(lab.reasons().at(-1), 'unknown-issuer');
  });
});

function hmacSigned(claims: object, key: object): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: 'HS256', kid: 'first' }).sign(Buffer.from(JSON.stringify(key)));
}

function tampered(token: string): string {
  const [header, payload, signature] = token.split('.');
  const changed = { ...(JSON.parse(Buffer.from(payload!, 'base64url').toString()) as object), sub: 'repo:acme/other' };
  return [header, Buffer.from(JSON.stringify(changed)).toString('base64url'), signature].join('.');
}

function newCsr(): string {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  return Buffer.from(buildCertificateRequest({ dnsNames: ['orders.acme.example'] }, key)).toString('base64');
}
