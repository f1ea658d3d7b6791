import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { openInventory } from '../../../test/support/inventory.ts';
import { listFederatedDomains } from './federated-domain-store.ts';
import { listPaths, listServices } from './store.ts';

const domain = `
kind: FederatedTrustDomain
name: partner
trustDomain: partner.example
url: https://bundles.partner.example/
profile: https_web
`;
const shop = `
kind: Service
name: partner-shop
owner: partners
spiffeId: spiffe://partner.example/shop
`;
const ours = `
kind: Service
name: orders
owner: commerce
---
kind: Service
name: web
owner: web
`;
const endpoint = (callers: string, more = '') => `
kind: Endpoint
name: orders-api
service: orders
protocol: http
addresses: ["127.0.0.1:8111"]
owner: commerce
allowedCallers: [${callers}]
${more}`;
const theirs = (more = '') => `
kind: Endpoint
name: shop-api
service: partner-shop
protocol: http
addresses: ["127.0.0.1:8112"]
owner: partners
allowedCallers: [web]
${more}`;
const join = (...documents: string[]): string => documents.join('\n---\n');
const everything = join(domain, shop, ours, endpoint('web, partner-shop'), theirs());

forEachDatabase('services of other trust domains', (newUrl) => {
  test('are allowed callers and servers, by name and by SPIFFE ID, and declared a second time change nothing', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(everything);
    const { queries } = inventory.database;
    assert.deepEqual(
      (await listFederatedDomains(queries, '*')).map(({ trustDomain, url }) => [trustDomain, url]),
      [['partner.example', 'https://bundles.partner.example/']],
    );
    const service = (await listServices(queries, '*')).find(({ name }) => name === 'partner-shop')!;
    assert.equal(service.spiffeId, 'spiffe://partner.example/shop');
    const callers = async () => (await listPaths(queries, '*')).map(({ caller }) => caller).toSorted();
    assert.deepEqual(await callers(), ['spiffe://acme.example/test/web', 'spiffe://acme.example/test/web', service.spiffeId]);
    assert.deepEqual(await inventory.apply(everything), []);
    await inventory.apply(endpoint(`web, "${service.spiffeId}"`));
    assert.equal((await callers()).length, 3);
    const types = inventory.entries.map(({ type }) => type);
    assert.equal(types.filter((type) => type === 'federated-domain.declared').length, 1);
    await inventory.apply(domain.replace('bundles.', 'b.'));
    assert.equal(inventory.entries.at(-1)?.type, 'federated-domain.changed');
  });

  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['our own trust domain', domain.replace('partner.example\n', 'acme.example\n'), /our own trust domain/],
    ['a trust domain twice', join(domain, domain.replace('name: partner', 'name: again')), /declared in test as partner already/],
    ['a service of a trust domain that nobody declared', shop, /expected a FederatedTrustDomain of it in test/],
    [
      'a service of one of another environment',
      join(domain.replace('kind', 'environment: stage\nkind'), shop),
      /FederatedTrustDomain of it in test/,
    ],
    ['a service with an identity of ours', shop.replace('partner.example', 'acme.example'), /identities follow from names/],
    ['two services of one identity', join(domain, shop, shop.replace('partner-shop', 'again')), /is service partner-shop of test already/],
    [
      'a caller in an environment that does not trust its domain',
      join(
        domain,
        shop,
        ours.replaceAll('kind', 'environment: stage\nkind'),
        endpoint('"spiffe://partner.example/shop"').replace('kind', 'environment: stage\nkind'),
      ),
      /FederatedTrustDomain of it in stage/,
    ],
    ['a caller that is no declared service', join(domain, ours, endpoint('"spiffe://partner.example/other"')), /no declared service/],
    [
      'a proxy of ours for it',
      join(everything, 'kind: Proxy\nname: p\nservice: partner-shop\nrole: sidecar\n'),
      /which has proxies of its own/,
    ],
    [
      'routes at its endpoint',
      join(domain, shop, ours, theirs('routes: [{ methods: [GET], path: /a, callers: [web] }]\n')),
      /expected neither external nor routes/,
    ],
  ];
  test('are refused where nobody could verify them', async () => {
    await using inventory = await openInventory(await newUrl());
    for (const [name, text, message] of refused) await assert.rejects(inventory.apply(text), { message }, name);
    assert.deepEqual(inventory.entries, []);
    await inventory.apply(everything);
    const before = inventory.entries.length;
    const absent = 'kind: FederatedTrustDomain\nname: partner\nstate: absent\n';
    await assert.rejects(inventory.apply(absent), { code: 'state-conflict' });
    assert.equal(inventory.entries.length, before);
    await inventory.apply(
      join(
        endpoint('web'),
        'kind: Endpoint\nname: shop-api\nstate: absent\n',
        'kind: Service\nname: partner-shop\nstate: absent\n',
        absent,
      ),
    );
    assert.deepEqual(await listFederatedDomains(inventory.database.queries, '*'), []);
  });
});
