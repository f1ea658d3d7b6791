import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';

const path = '/v1/scep-challenges';
const body = { environment: 'production', profile: 'server', dnsNames: ['printer-7.example'] };

forEachDatabase('challenges of SCEP by REST', (newUrl) => {
  test('a challenge is shown once, listed without its text, and taken back once', async () => {
    await using api = await openAdminApi(await newUrl());
    const operator = await api.tokenOf('operator');
    const made = await api.call({ method: 'POST', path, token: await api.tokenOf('ci'), body });
    assert.equal(made.status, 201, made.text);
    assert.match(made.json.challenge, /^[0-9a-hjkmnp-tv-z]{26}$/);
    const listed = await api.call({ method: 'GET', path, token: operator });
    assert.deepEqual(
      [listed.json.items.length, listed.json.items[0].dnsNames, listed.json.items[0].maker],
      [1, ['printer-7.example'], 'ci of the test'],
    );
    const elsewhere = await api.tokenOf('operator', ['staging']);
    assert.deepEqual((await api.call({ method: 'GET', path, token: elsewhere })).json.items, []);
    assert.doesNotMatch(listed.text + JSON.stringify(api.entries) + JSON.stringify(api.logged), new RegExp(made.json.challenge));
    const revoke = (token: string) => api.call({ method: 'DELETE', path: `${path}/${made.json.id}`, token });
    assert.equal((await revoke(elsewhere)).status, 403);
    assert.equal((await revoke(operator)).status, 204);
    assert.equal((await revoke(operator)).status, 409);
    assert.deepEqual((await api.call({ method: 'GET', path, token: operator })).json.items, []);
    const types = api.entries.filter(({ type }) => type.startsWith('scep-challenge.')).map(({ type }) => type);
    assert.deepEqual(types, ['scep-challenge.created', 'scep-challenge.revoked']);
  });

  test('nobody makes one without the role, for another environment, for no name or for a profile that is not open', async () => {
    await using api = await openAdminApi(await newUrl());
    const ci = await api.tokenOf('ci', ['production']);
    const make = (token: string, change: object = {}) => api.call({ method: 'POST', path, token, body: { ...body, ...change } });
    const refused: readonly (readonly [token: string, change: object, status: number])[] = [
      [await api.tokenOf('viewer'), {}, 403],
      [await api.tokenOf('auditor'), {}, 403],
      [ci, { environment: 'staging' }, 403],
      [ci, { dnsNames: [] }, 400],
      [ci, { dnsNames: ['not a name'] }, 400],
      [ci, { ipAddresses: ['10.0.0'] }, 400],
      [ci, { spiffeId: 'spiffe://' }, 400],
      [ci, { profile: 'control-plane' }, 400],
      [ci, { profile: 'scep-ra' }, 400],
      [ci, { ttlMs: 0 }, 400],
      [ci, { ttlMs: 91 * 86_400_000 }, 400],
      [ci, { secret: 'mine' }, 400],
    ];
    for (const [token, change, status] of refused) assert.equal((await make(token, change)).status, status, JSON.stringify(change));
  });
});
