import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { openInventory, place } from '../../../test/support/inventory.ts';
import { type AnonymousException, ProxySettingsSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { endExceptions } from '../inventory/end-exceptions.ts';
import { findDeclaredProxy, listExceptions } from '../inventory/store.ts';
import { reconcileSettings } from './reconcile.ts';
import { readSettings } from './store.ts';

const fleet = (protocol = 'http'): string => `
kind: Service
name: orders
owner: commerce
---
kind: Endpoint
name: orders-api
service: orders
protocol: ${protocol}
addresses: ["127.0.0.1:8111"]
owner: commerce
---
kind: Proxy
name: orders-1
service: orders
role: sidecar
inbound: [{ endpoint: orders-api, listen: "127.0.0.1:8111", upstream: "127.0.0.1:9111" }]
`;

type Terms = { readonly name?: string; readonly kind?: string; readonly until?: string; readonly more?: string };

const exception = ({ name = 'kubelet', kind = 'probe', until = '2027-06-30', more = CALLS }: Terms = {}): string =>
  `kind: Exception\nname: ${name}\nexception: ${kind}\nendpoint: orders-api\nowner: platform\nreason: no certificate\nuntil: ${until}\n` +
  `sources: ["10.1.0.0/16", "2001:db8:1::/48"]\n${more}`;
const CALLS = 'calls: [{ methods: [GET], path: /healthz }, { methods: [POST], path: "/old/**", host: Old.acme.example }]\n';

const many = (count: number): string => Array.from({ length: count }, (_item, at) => exception({ name: `e${at}` })).join('---\n');

async function open(url: string) {
  const inventory = await openInventory(url);
  const { database, clock } = inventory;
  const changed = makeSignal();
  return {
    ...inventory,
    exceptionsOf: async (): Promise<readonly AnonymousException[]> => {
      await reconcileSettings({ database, trustDomain: place.trustDomain, readLatched: async () => new Set(), changed }, clock.now());
      const { id } = (await findDeclaredProxy(database.queries, 'test', 'orders-1'))!;
      return fromBinary(ProxySettingsSchema, (await readSettings(database.queries, id))!.octets).inbound[0]!.anonymousExceptions;
    },
    end: () => endExceptions({ database, changed }, clock.now()),
    [Symbol.asyncDispose]: () => inventory[Symbol.asyncDispose](),
  };
}

forEachDatabase('exceptions without a certificate', (newUrl) => {
  test('are declared, logged whole, told to the proxy, and end', async () => {
    await using control = await open(await newUrl());
    await control.apply(`${fleet()}---\n${exception()}---\n${exception({ name: 'ends-first', until: '2026-12-01' })}`);
    const { data } = control.entries.find(({ type }) => type === 'exception.declared')!;
    const fields = new Map((data['fields'] as { field: string; after: unknown }[]).map(({ field, after }) => [field, after]));
    assert.deepEqual(fields.get('sources'), ['10.1.0.0/16', '2001:db8:1::/48']);
    assert.deepEqual((fields.get('calls') as object[])[0], { methods: ['GET'], host: '', path: '/healthz' });
    assert.deepEqual(
      (await control.exceptionsOf()).map(({ name }) => name),
      ['ends-first', 'kubelet'],
    );
    const [, told] = await control.exceptionsOf();
    assert.deepEqual(told!.sources, ['10.1.0.0/16', '2001:db8:1::/48']);
    assert.deepEqual(
      told!.calls.map(({ methods, host, path }) => [methods, host, path]),
      [
        [['GET'], '', '/healthz'],
        [['POST'], 'old.acme.example', '/old/**'],
      ],
    );
    assert.equal(told!.untilMs, BigInt(Date.parse('2027-06-30T23:59:59.999Z')));

    assert.equal(await control.end(), 0);
    control.clock.advance(10 * DAY_MS);
    assert.equal(await control.end(), 1);
    assert.equal(await control.end(), 0, 'an end is written down once');
    const ended = control.entries.filter(({ type }) => type === 'exception.ended');
    assert.deepEqual(
      ended.map(({ data: { name, exception: kind } }) => [name, kind]),
      [['ends-first', 'probe']],
    );
    assert.deepEqual(
      (await control.exceptionsOf()).map(({ name }) => name),
      ['kubelet'],
    );
    // What is agreed anew ends anew.
    await control.apply(exception({ name: 'ends-first', until: '2026-12-10' }));
    assert.equal((await control.exceptionsOf()).length, 2);
    control.clock.advance(10 * DAY_MS);
    assert.equal(await control.end(), 1);
  });

  test('keep what they were through the store, and change nothing when they are applied again', async () => {
    await using control = await open(await newUrl());
    const text = `${fleet()}---\n${exception({ kind: 'legacy-caller', until: '2027-03-01', more: `${CALLS}serverName: Old.acme.example\n` })}`;
    await control.apply(text);
    const [held] = await listExceptions(control.database.queries, '*');
    assert.deepEqual([held!.kind, held!.anonymous!.serverName], ['legacy-caller', 'old.acme.example']);
    assert.deepEqual(await control.apply(text), []);
    assert.equal((await control.exceptionsOf())[0]!.serverName, 'old.acme.example');
  });

  test('last a year at most, and half of one where a certificate could be had', async () => {
    await using control = await open(await newUrl());
    await control.apply(fleet());
    const tooLong = { code: 'input-invalid', message: /expected at most 366 days from now for a scraper/ };
    await assert.rejects(control.apply(exception({ kind: 'scraper', until: '2027-11-26' })), tooLong);
    await control.apply(exception({ kind: 'scraper', until: '2027-11-24' }));
    await assert.rejects(control.apply(exception({ kind: 'legacy-caller', until: '2027-06-30' })), /at most 183 days/);
  });

  test('name their calls where calls can be told apart, and nowhere else', async () => {
    await using control = await open(await newUrl());
    await control.apply(fleet());
    const unkept = { code: 'state-conflict', message: /could not be kept/ };
    await assert.rejects(control.apply(exception({ more: '' })), unkept);
    await control.apply(exception());
    await assert.rejects(control.apply(fleet('tcp')), unkept);
    await control.apply(`${fleet('tcp')}---\n${exception({ more: '' })}`);
    assert.deepEqual((await control.exceptionsOf())[0]!.calls, []);
    await assert.rejects(control.apply(exception()), unkept);
  });

  test('are 32 at most of one endpoint', async () => {
    await using control = await open(await newUrl());
    await assert.rejects(control.apply(`${fleet()}---\n${many(33)}`), { code: 'state-conflict', message: /would have 33/ });
    await control.apply(`${fleet()}---\n${many(32)}`);
    assert.equal((await control.exceptionsOf()).length, 32);
  });
});
