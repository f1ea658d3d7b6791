import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { type AdminApi, openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { oids } from '../../core/x509/oid.ts';
import { decodePem, encodePem } from '../../core/x509/pem.ts';

const apply = (api: AdminApi, token: string, ...documents: readonly string[]) =>
  api.call({
    method: 'POST',
    path: '/v1/declarations',
    token,
    body: { text: documents.map((text) => `apiVersion: countersign/v1\nkind: Profile\n${text}`).join('\n---\n') },
  });
const csrOf = (curve = 'P-256'): string =>
  encodePem('CERTIFICATE REQUEST', buildCertificateRequest({}, generateKeyPairSync('ec', { namedCurve: curve }).privateKey));
const partner = `name: partner-api
base: server
cadence: critical
lifetime: { usual: 30d }
keys: { curves: [P-256], ed25519: false, rsa: false }
extendedKeyUsage: [serverAuth, clientAuth]
names: { dns: ["*.partners.acme.test"] }
askers: { rest: { roles: [operator, ci], identities: [ci of the test] } }`;

const issue = (api: AdminApi, token: string, change: object = {}) =>
  api.call({
    method: 'POST',
    path: '/v1/certificates',
    token,
    body: { csr: csrOf(), profile: 'partner-api', dnsNames: ['a.partners.acme.test'], ...change },
  });

forEachDatabase('declared profiles', (newUrl) => {
  test('a declared profile rules at once: names, keys, purposes, life and who asks, each refusal with its rule', async () => {
    await using api = await openAdminApi(await newUrl());
    const [admin, operator] = [await api.tokenOf('admin'), await api.tokenOf('operator')];
    const unknown = await issue(api, operator);
    assert.equal(unknown.status, 403);
    assert.match(unknown.json.detail, /there is no profile partner-api/);
    assert.equal((await apply(api, admin, partner.replace(/identities: .*\] \} \}/, '} }'))).status, 200);
    const issued = await issue(api, operator);
    assert.equal(issued.status, 201, issued.text);
    const certificate = parseCertificate(decodePem(issued.json.pem, 'CERTIFICATE')[0]!);
    assert.deepEqual([...(certificate.extendedKeyUsage ?? [])], [oids.serverAuth, oids.clientAuth]);
    assert.ok(Math.abs(certificate.notAfter - api.clock.now() - 30 * DAY_MS) < 2_000);
    const wrong: readonly (readonly [RegExp, object, string?])[] = [
      [/permitted: .*acme\.test is not permitted/, { dnsNames: ['www.acme.test'] }],
      [/permitted: /, { dnsNames: ['a.b.partners.acme.test'] }],
      [/wildcard/, { dnsNames: ['*.partners.acme.test'] }],
      [/key: public key is on P-384/, { csr: csrOf('P-384') }],
      [/lifetime: /, { lifetimeMs: 91 * DAY_MS }],
      [/identity: /, { spiffeId: 'spiffe://acme.example/production/orders' }],
      [/asker: admin may not ask/, {}, admin],
      [/there is no profile/, { environment: 'staging' }],
      [/there is no profile to-string/, { profile: 'to-string' }],
    ];
    for (const [rule, change, token = operator] of wrong) {
      const answer = await issue(api, token, change);
      assert.equal(answer.status, 403, `${rule}: ${answer.text}`);
      assert.match(answer.json.detail, rule);
    }
    assert.equal((await apply(api, admin, 'name: partner-api\nstate: absent')).status, 200);
    assert.equal((await issue(api, operator)).status, 403, 'it is gone');
    const kept = await api.call({ method: 'GET', path: '/v1/certificates?profile=partner-api', token: operator });
    assert.equal(kept.json.items.length, 1);
    assert.deepEqual(
      api.entries.filter(({ type }) => type.startsWith('profile.')).map(({ type }) => type),
      ['profile.declared', 'profile.removed'],
    );
  });

  test('is changed by an admin: who asks and approves takes no approvals away, and applies whatever else stands beside it', async () => {
    await using api = await openAdminApi(await newUrl());
    const [admin, operator] = [await api.tokenOf('admin'), await api.tokenOf('operator')];
    const bound = `${partner}\napprovals: { count: 1, role: operator }`;
    const service = 'apiVersion: countersign/v1\nkind: Service\nname: web\nowner: shop';
    assert.equal((await apply(api, operator, bound)).status, 403);
    assert.equal((await apply(api, admin, bound)).status, 200);
    for (const document of [partner, 'name: partner-api\nstate: absent', 'name: workload\nbase: workload']) {
      const refused = await apply(api, operator, document);
      assert.deepEqual([refused.status, refused.json.code], [403, 'forbidden'], refused.text);
    }
    const body = { text: `${service}\n---\napiVersion: countersign/v1\nkind: Profile\n${partner}` };
    const post = (text: string) => api.call({ method: 'POST', path: '/v1/declarations', token: operator, body: { text } });
    assert.equal((await post(body.text)).status, 403);
    const services = await api.call({ method: 'GET', path: '/v1/services', token: operator });
    assert.deepEqual(services.json.items, [], 'nothing of it is done');
    const same = await post(`${service}\n---\napiVersion: countersign/v1\nkind: Profile\n${bound}`);
    assert.deepEqual([same.status, same.json.changes.length], [200, 1], same.text);
    assert.deepEqual(
      api.entries.filter(({ type }) => type.startsWith('profile.')).map(({ type }) => type),
      ['profile.declared'],
    );
    assert.ok(api.entries.some(({ type, data }) => type === 'request.refused' && data['route'] === 'apply-declaration'));
  });

  test('who asks can be named, and a profile of the product be replaced in its own environment only', async () => {
    await using api = await openAdminApi(await newUrl());
    const admin = await api.tokenOf('admin');
    const named = await apply(api, admin, partner);
    assert.equal(named.status, 200, named.text);
    assert.match((await issue(api, await api.tokenOf('operator'))).json.detail, /does not name who asks/);
    assert.equal((await issue(api, await api.tokenOf('ci'))).status, 201, 'the one that is named');
    const server = 'name: server\nbase: server\ncadence: short-lived\nnames: { ip: [10.0.0.0/8] }';
    assert.equal((await apply(api, admin, server)).status, 200);
    const inside = { profile: 'server', dnsNames: [], ipAddresses: ['10.1.2.3'] };
    const issued = await issue(api, admin, inside);
    assert.equal(issued.status, 201, issued.text);
    assert.ok(issued.json.notAfter - api.clock.now() <= 24 * HOUR_MS);
    assert.equal((await issue(api, admin, { ...inside, ipAddresses: ['192.0.2.1'] })).status, 403);
    assert.equal(
      (await issue(api, admin, { ...inside, environment: 'staging', ipAddresses: ['192.0.2.1'] })).status,
      201,
      'elsewhere the base',
    );
  });

  test('what cannot be a profile is refused with its line and field', async () => {
    await using api = await openAdminApi(await newUrl());
    const admin = await api.tokenOf('admin');
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['name: root\nbase: server', /a profile of the product/],
      ['name: server\nbase: workload', /a profile of the product/],
      ['name: my.profile\nbase: server', /a-z0-9-/],
      ['name: p', /base/],
      ['name: p\nbase: server\nmore: 1', /more/],
      ['name: p\nbase: server\nrenewalGrace: 8d', /renewalGrace/],
      ['name: p\nbase: server\naskers: { acme: {} }\napprovals: {}', /approvals/],
    ];
    for (const [text, expected] of wrong) {
      const answer = await apply(api, admin, text);
      assert.equal(answer.status, 400, text);
      assert.match(answer.json.detail, expected);
    }
    assert.equal((await apply(api, await api.tokenOf('ci'), partner)).status, 403);
  });
});
