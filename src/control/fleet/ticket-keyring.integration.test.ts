import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { ada, openInventory } from '../../../test/support/inventory.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { ResourceSchema } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { TicketKeysSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { makeKeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import type { Node } from '../../protocols/data-plane/peer.ts';
import { ticketKeySource } from '../../protocols/xds/ticket-key-source.ts';
import { listKeysFor } from '../ca/key-store.ts';
import { findDeclaredProxy } from '../inventory/store.ts';
import { rotateTickets } from './rotate-tickets.ts';
import { TicketKeyring } from './ticket-keyring.ts';
import type { TicketRotation } from './ticket-secret.ts';

const FLEET = `
kind: Service
name: web
owner: web
---
kind: Service
name: orders
owner: commerce
---
kind: Service
name: stock
owner: commerce
---
${endpoint('orders', 8111)}
---
${endpoint('stock', 8112)}
---
${sidecar('orders-1', 'orders', 8111)}
---
${sidecar('orders-2', 'orders', 8113)}
---
${sidecar('stock-1', 'stock', 8112)}
---
kind: Proxy
name: web-1
service: web
role: sidecar
outbound: [{ endpoint: orders-api, listen: "127.0.0.1:9111" }]
`;

function endpoint(service: string, port: number): string {
  return `kind: Endpoint\nname: ${service}-api\nservice: ${service}\nprotocol: http\naddresses: ["127.0.0.1:${port}"]\nowner: commerce\nallowedCallers: [web]`;
}

function sidecar(name: string, service: string, port: number): string {
  return `kind: Proxy\nname: ${name}\nservice: ${service}\nrole: sidecar\ninbound: [{ endpoint: ${service}-api, listen: "127.0.0.1:${port}", upstream: "unix:/run/${name}.sock" }]`;
}

async function openFleet(url: string) {
  const inventory = await openInventory(url);
  await inventory.apply(FLEET);
  const { database, clock } = inventory;
  const kek = makeKeyEncryptionKey(randomBytes(32));
  const changed = makeSignal();
  const told = { count: 0 };
  changed.subscribe(() => (told.count += 1));
  const keyring = new TicketKeyring({ database, kek, changed });
  const source = ticketKeySource({ read: (node) => keyring.keysOf(node), changes: changed });
  const nodeOf = async (name: string, service = name.replace(/-.*/, '')): Promise<Node> => {
    const proxyId = (await findDeclaredProxy(database.queries, 'test', name))!.id;
    return { proxyId, spiffeId: parseSpiffeId(`spiffe://acme.example/test/${service}`) } as Node;
  };
  return {
    ...inventory,
    kek,
    keyring,
    source,
    told,
    nodeOf,
    /** What a proxy is sent, as hex; null if there is nothing for it. */
    async sent(name: string) {
      const [resource] = await source.read(await nodeOf(name), null);
      if (resource === undefined) return null;
      const { version, body } = resource;
      const { sealing, accepted } = fromBinary(TicketKeysSchema, fromBinary(ResourceSchema, body).resource!.value);
      return { version, sealing: hex(sealing), next: hex(accepted[0]!), previous: hex(accepted[1]!) };
    },
    rotate: (rotation: TicketRotation, service: string | null = null) =>
      rotateTickets({ database, kek, changed }, { service, scope: '*', rotation, reason: 'test' }, ada, clock.now()),
    [Symbol.asyncDispose]: () => inventory[Symbol.asyncDispose](),
  };
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}

forEachDatabase('ticket keys', (newUrl) => {
  test('replicas of one service share keys, others have theirs, and who serves nothing has none', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    const orders = (await fleet.sent('orders-1'))!;
    assert.deepEqual(await fleet.sent('orders-2'), orders);
    const stock = (await fleet.sent('stock-1'))!;
    const all = [orders, stock].flatMap(({ sealing, next, previous }) => [sealing, next, previous]);
    assert.equal(new Set(all).size, 6);
    assert.ok(all.every((key) => key.length === 96));
    assert.equal(await fleet.sent('web-1'), null);
  });

  test('keys are for the declared identity only, and nobody may ask for those of another', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    const orders = await fleet.nodeOf('orders-1');
    const renamed = await fleet.nodeOf('orders-1', 'stock');
    assert.deepEqual(await fleet.source.read(renamed, null), []);
    assert.equal(fleet.source.forbids(await fleet.nodeOf('web-1'), orders.proxyId), 'foreign-resource');
    assert.equal(fleet.source.forbids(orders, orders.proxyId), null);
  });

  test('neither the database nor the log holds a key in the clear', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    const { version, sealing, next, previous } = (await fleet.sent('orders-1'))!;
    const stored = await listKeysFor(fleet.database.queries, 'ticket');
    const written = JSON.stringify([stored, fleet.entries, version]);
    for (const key of [sealing, next, previous]) {
      const octets = Buffer.from(key, 'hex');
      for (const form of ['hex', 'base64', 'base64url'] as const) assert.equal(written.includes(octets.toString(form).slice(0, 20)), false);
    }
    assert.deepEqual(
      fleet.entries.filter(({ type }) => type === 'ticket-keys.rotated').map(({ data }) => (data as { rotation: string }).rotation),
      ['first', 'first'],
    );
    const other = new TicketKeyring({ database: fleet.database, kek: makeKeyEncryptionKey(randomBytes(32)), changed: makeSignal() });
    await assert.rejects(other.reconcile(fleet.clock.now()), { code: 'key-locked' });
  });

  test('the schedule moves each key one place on, and never brings one that was not announced', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    const before = (await fleet.sent('orders-1'))!;
    fleet.clock.advance(4 * HOUR_MS - 1);
    await fleet.keyring.reconcile(fleet.clock.now());
    assert.deepEqual(await fleet.sent('orders-1'), before);
    fleet.clock.advance(1);
    await fleet.keyring.reconcile(fleet.clock.now());
    const after = (await fleet.sent('orders-1'))!;
    assert.deepEqual([after.sealing, after.previous], [before.next, before.sealing]);
    assert.notEqual(after.next, before.previous);
    assert.notEqual(after.version, before.version);
  });

  test('streams are told of a change once, and of none where nothing changed', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    await new Promise(setImmediate);
    assert.equal(fleet.told.count, 1);
    const commits = fleet.commits();
    await fleet.keyring.reconcile(fleet.clock.now());
    await new Promise(setImmediate);
    assert.deepEqual([fleet.told.count, fleet.commits()], [1, commits]);
    await fleet.apply(sidecar('orders-3', 'orders', 8114));
    await fleet.keyring.reconcile(fleet.clock.now());
    await new Promise(setImmediate);
    assert.equal(fleet.told.count, 2);
    assert.deepEqual(await fleet.sent('orders-3'), await fleet.sent('orders-1'));
  });

  test('a rotation on demand is of one service alone, and one step', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    const [orders, stock] = [(await fleet.sent('orders-1'))!, (await fleet.sent('stock-1'))!];
    assert.deepEqual(await fleet.rotate('step', 'orders'), { identities: ['spiffe://acme.example/test/orders'] });
    await fleet.keyring.reconcile(fleet.clock.now());
    assert.equal((await fleet.sent('orders-1'))!.sealing, orders.next);
    assert.deepEqual(await fleet.sent('stock-1'), stock);
    await assert.rejects(fleet.rotate('step', 'web'), { code: 'not-found' });
    await assert.rejects(fleet.rotate('step', 'nobody'), { code: 'not-found' });
  });

  test('after a leak no key of before is left, and the log says who asked for it', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    const { version, ...before } = (await fleet.sent('orders-1'))!;
    await fleet.rotate('replace-all');
    await fleet.keyring.reconcile(fleet.clock.now());
    const { version: newVersion, ...after } = (await fleet.sent('orders-1'))!;
    assert.notEqual(newVersion, version);
    for (const key of Object.values(after)) assert.equal(Object.values(before).includes(key), false);
    const entry = fleet.entries.findLast(({ type }) => type === 'ticket-keys.rotated')!;
    assert.deepEqual([entry.actor, (entry.data as { rotation: string }).rotation], [ada, 'replace-all']);
  });

  test('two control planes on one database agree on the keys', async () => {
    await using fleet = await openFleet(await newUrl());
    const { database, kek, clock } = fleet;
    const other = new TicketKeyring({ database, kek, changed: makeSignal() });
    await fleet.keyring.reconcile(clock.now());
    await other.reconcile(clock.now());
    const orders = await fleet.nodeOf('orders-1');
    assert.equal(other.keysOf(orders)!.keyId, fleet.keyring.keysOf(orders)!.keyId);
    clock.advance(4 * HOUR_MS);
    await Promise.all([fleet.keyring.reconcile(clock.now()), other.reconcile(clock.now())]);
    await fleet.keyring.reconcile(clock.now());
    await other.reconcile(clock.now());
    assert.equal(other.keysOf(orders)!.keyId, fleet.keyring.keysOf(orders)!.keyId);
  });

  test('the keys of an identity that serves no more are forgotten', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.keyring.reconcile(fleet.clock.now());
    await fleet.apply('kind: Proxy\nname: stock-1\nservice: stock\nrole: sidecar\noutbound: []\ninbound: []\n');
    await fleet.keyring.reconcile(fleet.clock.now());
    const owners = (await listKeysFor(fleet.database.queries, 'ticket')).map(({ ownerId }) => ownerId);
    assert.deepEqual(owners, ['spiffe://acme.example/test/orders']);
    assert.equal(await fleet.sent('stock-1'), null);
  });
});
