import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AdminApi, openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';

const create = (api: AdminApi, token: string, body: object = {}) =>
  api.call({ method: 'POST', path: '/v1/cmp-secrets', token, body: { name: 'printers', dnsNames: ['printer.acme.test'], ...body } });

forEachDatabase('CMP secrets by REST', (newUrl) => {
  test('one is shown once, listed by what it buys, and taken back once', async () => {
    await using api = await openAdminApi(await newUrl());
    const token = await api.tokenOf('operator');
    const made = await create(api, token, { uses: 3, ipAddresses: ['192.0.2.7'] });
    assert.equal(made.status, 201, made.text);
    assert.match(made.json.reference, /^token_/);
    assert.match(made.json.secret, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(JSON.stringify(api.entries).includes(made.json.secret), false);
    const listed = await api.call({ method: 'GET', path: '/v1/cmp-secrets', token });
    const { id, profile, role, dnsNames, ipAddresses, uses, used } = listed.json.items[0];
    assert.deepEqual(
      { id, profile, role, dnsNames, ipAddresses, uses, used },
      {
        id: made.json.reference,
        profile: 'server',
        role: 'ci',
        dnsNames: ['printer.acme.test'],
        ipAddresses: ['192.0.2.7'],
        uses: 3,
        used: 0,
      },
    );
    assert.equal(listed.text.includes(made.json.secret), false);
    const path = `/v1/cmp-secrets/${made.json.reference}`;
    assert.equal((await api.call({ method: 'DELETE', path, token: await api.tokenOf('ci') })).status, 403);
    assert.equal((await api.call({ method: 'DELETE', path, token })).status, 204);
    assert.equal((await api.call({ method: 'DELETE', path, token })).json.code, 'state-conflict');
    assert.deepEqual((await api.call({ method: 'GET', path: '/v1/cmp-secrets', token })).json.items, []);
    const types = api.entries.map(({ type }) => type).filter((type) => type.startsWith('cmp-secret.'));
    assert.deepEqual(types, ['cmp-secret.created', 'cmp-secret.revoked']);
  });

  test('nobody makes one for more than his own role has, for no names, or for what would be refused at every request', async () => {
    await using api = await openAdminApi(await newUrl());
    const token = await api.tokenOf('operator');
    const cases: readonly (readonly [object, string])[] = [
      [{ role: 'admin' }, 'forbidden'],
      [{ role: 'viewer' }, 'input-invalid'],
      [{ dnsNames: [] }, 'input-invalid'],
      [{ dnsNames: ['not a name'] }, 'identity-malformed'],
      [{ ipAddresses: ['300.1.1.1'] }, 'identity-malformed'],
      [{ profile: 'workload', dnsNames: [], spiffeId: 'spiffe://x' }, 'identity-malformed'],
      [{ profile: 'none' }, 'input-invalid'],
      [{ profile: 'ocsp-signer' }, 'input-invalid'],
      [{ profile: 'cmp-signer' }, 'input-invalid'],
      [{ uses: 0 }, 'input-invalid'],
      [{ uses: 1_001 }, 'input-invalid'],
      [{ ttlMs: 91 * 86_400_000 }, 'input-invalid'],
      [{ colour: 'red' }, 'input-invalid'],
    ];
    for (const [body, code] of cases) assert.equal((await create(api, token, body)).json.code, code, JSON.stringify(body));
    assert.equal((await create(api, await api.tokenOf('ci'))).status, 403);
    assert.equal((await create(api, await api.tokenOf('operator', ['elsewhere']))).json.code, 'forbidden');
    assert.equal(
      api.entries.some(({ type }) => type === 'cmp-secret.created'),
      false,
    );
  });
});
