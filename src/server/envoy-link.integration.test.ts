import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ada, openTestAuthorities, type TestAuthorities } from '../../test/support/authorities.ts';
import { forEachDatabase } from '../../test/support/databases.ts';
import { place } from '../../test/support/inventory.ts';
import { listEnvoyRefusals } from '../control/fleet/envoy-refusal-store.ts';
import { applyDeclaration } from '../control/inventory/apply-declaration.ts';
import { parseDeclaration } from '../control/inventory/parse-declaration.ts';
import { findDeclaredProxy } from '../control/inventory/store.ts';
import { CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../core/messages/type-urls.ts';
import { DAY_MS } from '../core/time/instant.ts';
import { ManualClock } from '../platform/clock/clock.ts';
import { makeSignal } from '../platform/clock/signal.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import type { Node } from '../protocols/data-plane/peer.ts';
import { openEnvoyLink } from './envoy-link.ts';

const now = 1_800_000_000_000;
const HAS_ONE = new Map([['a', '1.1.1.aa']]);

forEachDatabase('what an Envoy refused of one server', (newUrl) => {
  test('is not sent by another one, is shown there, and is over once something else was taken', async () => {
    await using servers = await openServers(await newUrl());
    const { one, other, node } = servers;
    await begin(one, node);
    await one.record({ proxyId: node.proxyId, typeUrl: LISTENER_TYPE, name: 'l', version: '7.1.1.bad', refusal: 'no such curve' });
    await one.record({ proxyId: node.proxyId, typeUrl: ROUTE_TYPE, name: 'r', version: '7.1.1.worse', refusal: 'no such cluster' });
    assert.deepEqual(await begin(other, node), { [LISTENER_TYPE]: ['l', 'bad'], [ROUTE_TYPE]: ['r', 'worse'] });
    const stored = await listEnvoyRefusals(servers.ca.database.queries, node.proxyId);
    assert.deepEqual(stored.map(({ name, reason, at }) => [name, reason, at]).toSorted(), [
      ['l', 'no such curve', now],
      ['r', 'no such cluster', now],
    ]);
    // The next form of it is refused as well, and then one is taken.
    await other.record({ proxyId: node.proxyId, typeUrl: LISTENER_TYPE, name: 'l', version: '8.1.1.evil', refusal: 'no such suite' });
    assert.deepEqual(await begin(one, node), { [LISTENER_TYPE]: ['l', 'evil'], [ROUTE_TYPE]: ['r', 'worse'] });
    await one.record({ proxyId: node.proxyId, typeUrl: LISTENER_TYPE, name: 'l', version: '9.1.1.good' });
    assert.deepEqual(await begin(other, node), { [ROUTE_TYPE]: ['r', 'worse'] });
    assert.equal(servers.ca.entriesOf('envoy-resource.refused').length, 3);
  });

  test('is of no other Envoy, and nothing that is taken is written down', async () => {
    await using servers = await openServers(await newUrl());
    const { one, other, node } = servers;
    await begin(one, node);
    await one.record({ proxyId: node.proxyId, typeUrl: LISTENER_TYPE, name: 'l', version: '7.1.1.bad', refusal: 'no such curve' });
    assert.deepEqual(await begin(other, { ...node, proxyId: 'proxy_00000000000000000000000001' }), {});
    const before = servers.ca.database.snapshot();
    for (const name of ['a', 'b', 'c']) await one.record({ proxyId: node.proxyId, typeUrl: LISTENER_TYPE, name, version: '7.1.1.ok' });
    assert.equal(servers.ca.database.snapshot(), before, 'no write');
  });

  test('may be sent once more to one that was started anew, and after a month', async () => {
    await using servers = await openServers(await newUrl());
    const { one, other, node, clock } = servers;
    await begin(one, node);
    const refuse = (name: string) =>
      one.record({ proxyId: node.proxyId, typeUrl: LISTENER_TYPE, name, version: '7.1.1.bad', refusal: 'no such curve' });
    await refuse('l');
    clock.advance(31 * DAY_MS);
    await refuse('m');
    assert.deepEqual(await begin(other, node), { [LISTENER_TYPE]: ['m', 'bad'] });
    assert.deepEqual(await begin(other, node, new Map()), {});
    assert.deepEqual(await begin(one, node), {});
    assert.deepEqual(await listEnvoyRefusals(servers.ca.database.queries, null), []);
  });
});

type Link = ReturnType<typeof openEnvoyLink>;

/** What the Envoy is not to be sent, by type, when its stream begins here. */
async function begin(
  { sources }: Link,
  node: Node,
  claimed: ReadonlyMap<string, string> = HAS_ONE,
): Promise<Record<string, readonly string[]>> {
  const found: [string, readonly string[]][] = [];
  for (const { typeUrl, ordered } of sources.toSorted((a) => (a.typeUrl === CLUSTER_TYPE ? -1 : 1))) {
    const refused = await ordered!.begin(node, typeUrl === CLUSTER_TYPE ? claimed : new Map());
    if (refused.size > 0) found.push([typeUrl, [...refused].flat()]);
  }
  return Object.fromEntries(found);
}

async function openServers(url: string) {
  const ca: TestAuthorities = await openTestAuthorities(url, now);
  const documents = ['kind: Service\nname: web\nowner: x\n', 'kind: Proxy\nname: web-1\nservice: web\nrole: sidecar\nplane: envoy\n'];
  const text = documents.map((document) => `apiVersion: countersign/v1\n${document}`).join('---\n');
  await applyDeclaration({ database: ca.database, place, changed: makeSignal() }, parseDeclaration(text), ada, now);
  const { id: proxyId } = (await findDeclaredProxy(ca.database.queries, 'test', 'web-1'))!;
  const clock = new ManualClock(now);
  const open = (): Link =>
    openEnvoyLink({
      state: ca,
      authorities: ca.authorities,
      fleet: { readSettings: async () => null, settingsChanged: makeSignal() },
      authorityChanged: makeSignal(),
      federationChanged: makeSignal(),
      clock,
      log() {},
      metrics: createMetrics(),
    } as unknown as Parameters<typeof openEnvoyLink>[0]);
  return {
    ca,
    clock,
    node: { proxyId } as Node,
    one: open(),
    other: open(),
    [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose](),
  };
}
