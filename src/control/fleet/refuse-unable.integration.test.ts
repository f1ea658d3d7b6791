import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { ada, openInventory, place, type TestInventory } from '../../../test/support/inventory.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { applyDeclaration, tryDeclaration } from '../inventory/apply-declaration.ts';
import { parseDeclaration } from '../inventory/parse-declaration.ts';
import { listUnable, refuseUnable } from './refuse-unable.ts';

const fleet = (plane: string) => `
kind: Service
name: web
owner: x
---
kind: Service
name: orders
owner: x
---
kind: Policy
name: strict
---
kind: Endpoint
name: orders-api
service: orders
protocol: http
addresses: ["127.0.0.1:8111"]
owner: x
policy: strict
allowedCallers: [web]
---
kind: Proxy
name: orders-1
service: orders
role: sidecar
plane: ${plane}
inbound: [{ endpoint: orders-api, listen: "127.0.0.1:8111", upstream: "unix:/run/orders.sock" }]
---
kind: Proxy
name: web-1
service: web
role: sidecar
plane: ${plane}
outbound: [{ endpoint: orders-api, listen: "127.0.0.1:9111" }]
`;
const UNABLE = `kind: Policy\nname: strict\nhttp: { rates: { caller: { perSecond: 5, burst: 10 } } }\n`;

const documentsOf = (text: string) =>
  parseDeclaration(
    text
      .split(/^---$/m)
      .map((document) => `apiVersion: countersign/v1\n${document.trim()}\n`)
      .join('---\n'),
  );
const view = { trustDomain: place.trustDomain, readLatched: async () => new Set<never>() };

async function apply({ database, clock }: TestInventory, text: string): Promise<void> {
  const judge = (queries: Parameters<typeof refuseUnable>[0]) => refuseUnable(queries, view, clock.now());
  await applyDeclaration({ database, place, changed: makeSignal(), judge }, documentsOf(text), ada, clock.now());
}

forEachDatabase('what a plane cannot do', (newUrl) => {
  test('is refused when it is declared, whole, by proxy, endpoint and field', async () => {
    await using inventory = await openInventory(await newUrl());
    await apply(inventory, fleet('envoy'));
    const before = await inventory.snapshot();
    for (const text of [
      UNABLE,
      `${UNABLE}---\nkind: Service\nname: more\nowner: x\n`,
      `kind: Exception\nname: probe\nexception: probe\nendpoint: orders-api\nowner: x\nreason: y\nuntil: 2026-12-01\nsources: ["10.0.0.0/16"]\ncalls: [{ methods: [GET], path: /healthz }]\n`,
    ]) {
      await assert.rejects(apply(inventory, text), { code: 'plane-unable', message: /Proxy orders-1, orders-api: / }, text);
    }
    await assert.rejects(apply(inventory, UNABLE), { message: /http\.rates\.caller: .*expected what Envoy can do$/ });
    assert.deepEqual(await inventory.snapshot(), before);
  });

  test('is told of a declaration that is only tried, and nothing of it is written, logged or told', async () => {
    await using inventory = await openInventory(await newUrl());
    await apply(inventory, fleet('envoy'));
    const [before, logged] = [await inventory.snapshot(), inventory.entries.length];
    const tried = (text: string) => {
      const judge = (queries: Parameters<typeof listUnable>[0]) => listUnable(queries, view, inventory.clock.now());
      return tryDeclaration({ database: inventory.database, place, judge }, documentsOf(text), ada, inventory.clock.now());
    };
    const objections = await tried(UNABLE);
    assert.equal(objections.length, 1);
    assert.match(objections[0]!, /^Proxy orders-1, orders-api: http\.rates\.caller: /);
    assert.deepEqual(await tried('kind: Service\nname: more\nowner: x\n'), []);
    assert.deepEqual(await tried(fleet('envoy')), [], 'what is so already');
    assert.deepEqual(await tried(`${UNABLE}---\n${fleet('native').split('---').slice(4).join('---')}`), []);
    await assert.rejects(tried('kind: Proxy\nname: x-1\nservice: nobody\nrole: sidecar\n'), { code: 'input-invalid' });
    assert.deepEqual(await inventory.snapshot(), before);
    assert.equal(inventory.entries.length, logged);
    // What was tried stands in nobody's way.
    await apply(inventory, 'kind: Service\nname: more\nowner: x\n');
  });

  test('is refused when the plane is changed to it, and is no matter to a proxy of ours', async () => {
    await using inventory = await openInventory(await newUrl());
    await apply(inventory, fleet('native'));
    await apply(inventory, UNABLE);
    await assert.rejects(apply(inventory, fleet('envoy').replace('kind: Policy\nname: strict\n', UNABLE)), { code: 'plane-unable' });
    await apply(inventory, fleet('envoy'));
  });
});
