import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ada } from '../../../test/support/authorities.ts';
import { openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { createToken } from '../../control/access/create-token.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { grantHandlers } from './serve-grants.ts';

const place = { environment: 'production', region: 'local' };
const doors = [
  { path: '/v1/acme-bindings', id: 'keyId', body: { name: 'web', role: 'ci' } },
  { path: '/v1/cmp-secrets', id: 'reference', body: { name: 'printers', dnsNames: ['p.example'] } },
  { path: '/v1/scep-challenges', id: 'id', body: { profile: 'server', dnsNames: ['p.example'] } },
] as const;

forEachDatabase('one-time grants by REST, whatever the door', (newUrl) => {
  for (const { path, id, body } of doors) {
    test(`${path}: is of its own door and environment, lives no longer than the token that makes it, and falls with it`, async () => {
      await using api = await openAdminApi(await newUrl());
      const operator = await api.tokenOf('operator');
      const tokenFor = async (ttlMs: number | null) => {
        const wanted = { name: 'bo', role: 'operator', scope: '*', ...place, ttlMs } as const;
        const { token, tokenId } = await createToken(api, wanted, ada, api.clock.now());
        return { token: token.reveal(), tokenId };
      };
      const make = (token: string, change: object = {}) =>
        api.call({ method: 'POST', path, token, body: { environment: 'production', ...body, ...change } });
      const list = async (token: string) => (await api.call({ method: 'GET', path, token })).json.items as { readonly id: string }[];
      const brief = await tokenFor(HOUR_MS);
      const made = await make(brief.token, { ttlMs: DAY_MS });
      assert.deepEqual([made.status, made.json.expiresAt], [201, api.clock.now() + HOUR_MS], made.text);
      const [shown] = await list(operator);
      const { maker, used, uses, spiffeId } = shown as unknown as { readonly [field: string]: unknown };
      assert.deepEqual({ maker, used, uses, spiffeId }, { maker: 'bo', used: 0, uses: 1, spiffeId: null });
      const elsewhere = await api.tokenOf('admin', ['staging']);
      assert.deepEqual(await list(elsewhere), []);
      assert.equal((await make(elsewhere)).status, 403);
      const remove = (token: string, at: string = path) => api.call({ method: 'DELETE', path: `${at}/${made.json[id]}`, token });
      for (const role of ['viewer', 'auditor', 'ci', 'partner-manager'] as const)
        assert.equal((await remove(await api.tokenOf(role))).status, 403, role);
      assert.equal((await remove(elsewhere)).status, 403);
      for (const other of doors.filter((door) => door.path !== path))
        assert.equal((await remove(operator, other.path)).status, 404, other.path);
      assert.equal((await list(operator)).length, 1);
      assert.equal(
        (await api.call({ method: 'DELETE', path: `/v1/tokens/${brief.tokenId}`, token: await api.tokenOf('admin') })).status,
        204,
      );
      assert.deepEqual(await list(operator), [], 'it fell with its maker');
      assert.equal((await make(brief.token)).status, 401);
      assert.equal((await remove(operator)).status, 204, 'and may be taken back all the same');
      assert.equal((await remove(operator)).status, 409);
    });
  }
});

test('where a door is not served there is nothing at it', async () => {
  const makers = { acme: null, cmp: null, scep: null };
  const handlers = grantHandlers({ database: null as never, makers, place: { region: 'local' } });
  for (const name of ['list-acme-bindings', 'list-cmp-secrets', 'list-scep-challenges'] as const)
    await assert.rejects(handlers[name]({ scope: '*', now: 0 } as never), { code: 'state-conflict' });
});
