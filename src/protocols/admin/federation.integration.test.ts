import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import { parseBundleDocument } from '../../core/spiffe/parse-bundle-document.ts';

const head = 'apiVersion: countersign/v1\n';
const domain = `${head}kind: FederatedTrustDomain\nname: partner\ntrustDomain: partner.example\nurl: https://bundles.partner.example/\nprofile: https_web\n`;
const shop = `${head}kind: Service\nname: shop\nowner: partners\nspiffeId: spiffe://partner.example/shop\n`;

forEachDatabase('trust domains of others by REST', (newUrl) => {
  test('are declared and withdrawn by an admin alone, and listed with the bundle in force', async () => {
    await using api = await openAdminApi(await newUrl());
    const apply = (token: string, text: string) => api.call({ method: 'POST', path: '/v1/declarations', token, body: { text } });
    const [admin, operator, viewer] = [await api.tokenOf('admin'), await api.tokenOf('operator'), await api.tokenOf('viewer')];
    assert.equal((await apply(operator, domain)).status, 403);
    assert.equal((await apply(admin, domain)).status, 200);
    const absent = `${head}kind: FederatedTrustDomain\nname: partner\nstate: absent\n`;
    assert.equal((await apply(operator, absent)).status, 403);
    assert.equal((await apply(operator, shop)).status, 200);
    assert.equal((await apply(operator, domain.replace('bundles.', 'b.'))).status, 403);
    assert.equal((await apply(admin, absent)).status, 409, 'a service of it is declared');
    const { json } = await api.call({ method: 'GET', path: '/v1/federation', token: viewer });
    const [item, ...others] = json.items;
    assert.equal(others.length, 0);
    assert.deepEqual(
      [item.trustDomain, item.profile, item.sequence, item.authorities, item.fetchedAt],
      ['partner.example', 'https_web', null, [], null],
    );
    const bundle = await api.call({ method: 'GET', path: '/v1/federation/bundle', token: viewer });
    const { authorities, sequence } = parseBundleDocument(bundle.text, parseTrustDomain('acme.example'));
    assert.equal(authorities.length, 1);
    assert.ok(sequence !== null && sequence >= 1);
  });

  test('a declared identity of theirs can be suspended and resumed, and no other', async () => {
    await using api = await openAdminApi(await newUrl());
    const [admin, operator] = [await api.tokenOf('admin'), await api.tokenOf('operator')];
    await api.call({ method: 'POST', path: '/v1/declarations', token: admin, body: { text: `${domain}---\n${shop}` } });
    const change = (verb: 'suspend' | 'resume', spiffeId: string) =>
      api.call({ method: 'POST', path: `/v1/identities/${verb}`, token: operator, body: { spiffeId, reason: 'r' } });
    for (const stranger of ['spiffe://partner.example/other', 'spiffe://third.example/shop', 'spiffe://partner.example'])
      assert.equal((await change('suspend', stranger)).status, 400, stranger);
    assert.equal((await change('suspend', 'spiffe://partner.example/shop')).status, 200);
    const { json } = await api.call({ method: 'GET', path: '/v1/suspensions', token: operator });
    assert.deepEqual(
      json.items.map(({ spiffeId, environment }: { readonly spiffeId: string; readonly environment: string }) => [spiffeId, environment]),
      [['spiffe://partner.example/shop', 'test']],
    );
    assert.equal((await change('resume', 'spiffe://partner.example/shop')).status, 200);
  });
});
