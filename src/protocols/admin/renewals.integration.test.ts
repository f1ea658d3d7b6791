import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { request } from 'node:https';
import { test } from 'node:test';
import { text as readAll } from 'node:stream/consumers';
import { type AdminApi, openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem, encodePem } from '../../core/x509/pem.ts';

const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const csrOf = (key: KeyObject): string => encodePem('CERTIFICATE REQUEST', buildCertificateRequest({}, key));
const orders = 'spiffe://acme.example/test/orders';
type Held = { readonly pem: string; readonly key: KeyObject; readonly serial: string };
type Renewed = { readonly status: number; readonly json: any };

async function issue(api: AdminApi, change: object = {}): Promise<Held> {
  const key = newKey();
  const body = { profile: 'workload', spiffeId: orders, csr: csrOf(key), ...change };
  const answer = await api.call({ method: 'POST', path: '/v1/certificates', token: await api.tokenOf('operator'), body });
  assert.equal(answer.status, 201, answer.text);
  return { pem: answer.json.pem, key, serial: answer.json.serial };
}

/** As a workload does: its certificate is all that it has. */
async function renew(api: AdminApi, held: Pick<Held, 'pem' | 'key'> | null, key = newKey()): Promise<Renewed> {
  const payload = JSON.stringify({ csr: csrOf(key) });
  const { promise, resolve, reject } = Promise.withResolvers<Renewed>();
  const outgoing = request({
    host: '127.0.0.1',
    port: api.server.port,
    method: 'POST',
    path: '/v1/certificate-renewals',
    agent: false,
    // Who the server is, is not what is asked; the test's clock stands in 2026.
    rejectUnauthorized: false,
    ...(held === null ? {} : { cert: held.pem, key: held.key.export({ type: 'pkcs8', format: 'pem' }) }),
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
  });
  outgoing.on('error', reject);
  outgoing.on('response', (response) => {
    readAll(response).then((body) => resolve({ status: response.statusCode!, json: JSON.parse(body) }), reject);
  });
  outgoing.end(payload);
  return promise;
}

const declare = async (api: AdminApi, text: string) => {
  const body = { text: `apiVersion: countersign/v1\nkind: Profile\n${text}` };
  assert.equal((await api.call({ method: 'POST', path: '/v1/declarations', token: await api.tokenOf('admin'), body })).status, 200);
};

forEachDatabase('renewal by the current certificate, over mutual TLS', (newUrl) => {
  test('a workload that has nothing but its certificate gets its successor, with the same names and a new key, again and again', async () => {
    await using api = await openAdminApi(await newUrl());
    const first = await issue(api, { dnsNames: ['orders.acme.test'] });
    let held: Pick<Held, 'pem' | 'key'> = first;
    for (let round = 0; round < 3; round++) {
      api.clock.advance(20 * HOUR_MS);
      const key = newKey();
      const renewed = await renew(api, held, key);
      assert.equal(renewed.status, 201, JSON.stringify(renewed.json));
      held = { pem: renewed.json.pem, key };
    }
    const certificate = parseCertificate(decodePem(held.pem, 'CERTIFICATE')[0]!);
    assert.deepEqual([certificate.subjectAltNames.uri, certificate.subjectAltNames.dns], [[orders], ['orders.acme.test']]);
    assert.ok(certificate.notAfter > api.clock.now());
    const [record] = (await api.call({ method: 'GET', path: '/v1/certificates', token: await api.tokenOf('viewer') })).json.items;
    assert.deepEqual([record.door, record.proxyId, record.profile], ['renewal', null, 'workload']);
  });

  test('nobody else: without a certificate, with another CA’s, revoked, suspended, for servers alone, or for another’s key', async () => {
    await using api = await openAdminApi(await newUrl());
    const held = await issue(api);
    const logged = (): readonly unknown[] =>
      api.logged.filter(({ event }) => event === 'renewal.refused').map(({ fields }) => fields['reason']);
    assert.equal((await renew(api, null)).status, 401);
    const stranger = makeTestAuthority(api.clock.now()).issue({ uris: [orders], usages: ['client'] });
    const foreign = { pem: stranger.chain.map((der) => encodePem('CERTIFICATE', der)).join(''), key: stranger.key };
    assert.equal((await renew(api, foreign)).status, 401);
    const server = await issue(api, { profile: 'server', spiffeId: undefined, dnsNames: ['a.acme.test'] });
    assert.equal((await renew(api, server)).status, 401);
    await assert.rejects(renew(api, { ...held, key: newKey() }), 'TLS itself proves the key');
    assert.deepEqual(logged(), ['certificate-required', 'certificate-invalid', 'certificate-invalid']);
    const operator = await api.tokenOf('operator');
    const other = await issue(api, { spiffeId: 'spiffe://acme.example/test/gone' });
    const post = (path: string, body: object) => api.call({ method: 'POST', path, token: operator, body });
    assert.equal((await post(`/v1/certificates/${held.serial}/revocation`, {})).status, 200);
    await post('/v1/identities/suspend', { spiffeId: 'spiffe://acme.example/test/gone', reason: 'test' });
    for (const [one, why] of [
      [held, /is revoked/],
      [other, /is suspended/],
    ] as const) {
      for (let again = 0; again < 3; again++) {
        const refused = await renew(api, one);
        assert.equal(refused.status, 403);
        assert.match(refused.json.detail, why);
      }
    }
    assert.equal(logged().filter((reason) => reason === 'certificate-fallen').length, 6);
    assert.deepEqual(
      api.entries.filter(({ type, data }) => type === 'certificate.refused' || data['code'] === 'issuance-refused').map(({ type }) => type),
      ['request.refused'],
      'who holds a stolen one fills no log',
    );
    await declare(api, 'name: workload\nbase: workload\naskers: { rest: {}, join: {}, renewal: { roles: [data-plane] } }');
    const shut = await renew(api, await issue(api));
    assert.match(shut.json.detail, /asker: holder may not ask/);
  });

  test('after its end only within the grace of its profile, as that is now', async () => {
    await using api = await openAdminApi(await newUrl());
    const held = await issue(api, { lifetimeMs: HOUR_MS });
    api.clock.advance(HOUR_MS + MINUTE_MS);
    assert.match((await renew(api, held)).json.detail, /is expired/);
    await declare(api, 'name: workload\nbase: workload\nrenewalGrace: 2h');
    assert.equal((await renew(api, held)).status, 201);
    api.clock.advance(2 * HOUR_MS);
    assert.match((await renew(api, held)).json.detail, /is expired/);
    await declare(api, 'name: workload\nbase: workload\nrenewalGrace: 7d');
    const operator = await api.tokenOf('operator');
    assert.equal((await renew(api, held)).status, 201);
    await api.call({ method: 'POST', path: `/v1/certificates/${held.serial}/revocation`, token: operator, body: {} });
    assert.match((await renew(api, held)).json.detail, /is revoked/, 'revoked, though expired');
    api.clock.advance(8 * DAY_MS);
    assert.equal((await renew(api, held)).status, 403);
  });
});
