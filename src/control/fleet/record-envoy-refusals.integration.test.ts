import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { openInventory } from '../../../test/support/inventory.ts';
import { findDeclaredProxy } from '../inventory/store.ts';
import { recordEnvoyRefusals, type RefusedResource } from './record-envoy-refusals.ts';

const refused = (name: string, more: Partial<RefusedResource> = {}): RefusedResource => ({
  typeUrl: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  name,
  version: '7.1.1.aa',
  reason: 'Failed to initialize ECDH curves',
  by: 'envoy',
  ...more,
});

forEachDatabase('what Envoys refuse', (newUrl) => {
  test('is in the log with its resource and reason, and who found it; cut where it is long, and not without end', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply('kind: Service\nname: web\nowner: x\n---\nkind: Proxy\nname: web-1\nservice: web\nrole: sidecar\nplane: envoy\n');
    const { id } = (await findDeclaredProxy(inventory.database.queries, 'test', 'web-1'))!;
    const logged = () => inventory.entries.filter(({ type }) => type === 'envoy-resource.refused');
    await recordEnvoyRefusals(inventory, id, [refused('a'), refused('b', { by: 'countersign', reason: 'x'.repeat(5_000) })], 1);
    assert.deepEqual(
      logged().map(({ actor, data }) => [actor, data['resourceType'], data['name'], (data['reason'] as string).length]),
      [
        [{ kind: 'machine', name: id }, 'Listener', 'a', 32],
        [{ kind: 'system', name: 'fleet' }, 'Listener', 'b', 500],
      ],
    );
    await recordEnvoyRefusals(
      inventory,
      id,
      Array.from({ length: 1_000 }, (_, at) => refused(`${at}`)),
      2,
    );
    assert.equal(logged().length, 22);
    const commits = inventory.commits();
    await recordEnvoyRefusals(inventory, id, [], 3);
    await recordEnvoyRefusals(inventory, 'proxy_00000000000000000000000001', [refused('a')], 3);
    assert.deepEqual([logged().length, inventory.commits()], [22, commits], 'nobody declared it');
  });
});
