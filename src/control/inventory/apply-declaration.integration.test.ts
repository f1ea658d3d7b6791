import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { openInventory, type TestInventory } from '../../../test/support/inventory.ts';
import { listPolicies, listTargets } from '../policies/store.ts';
import { listDiscovered } from './discovered-store.ts';
import { recordDiscovered } from './record-discovered.ts';
import {
  findDeclaredProxies,
  findDeclaredProxy,
  findPath,
  findServiceBySpiffeId,
  listDeclaredProxies,
  listEndpoints,
  listExceptions,
  listPaths,
  listServices,
} from './store.ts';

const fleet = `
kind: Policy
name: strict
tls: { minimumVersion: "1.3" }
---
kind: Service
name: web
owner: web
---
kind: Service
name: orders
owner: commerce
tier: critical
---
kind: Service
name: reports
owner: finance
---
kind: Endpoint
name: orders-api
service: orders
protocol: http
addresses: ["127.0.0.1:8111", "127.0.0.1:8112"]
owner: commerce
policy: strict
allowedCallers: [web]
---
kind: Proxy
name: orders-1
service: orders
role: sidecar
inbound: [{ endpoint: orders-api, listen: "127.0.0.1:8111", upstream: "unix:/run/orders.sock" }]
---
kind: Proxy
name: web-1
service: web
role: sidecar
outbound: [{ endpoint: orders-api, listen: "127.0.0.1:9111" }]
---
kind: Proxy
name: reports-1
service: reports
role: sidecar
outbound: [{ endpoint: orders-api, listen: "127.0.0.1:9112" }]
---
kind: Proxy
name: scanner-1
role: scanner
---
kind: Exception
name: gap
exception: plaintext-path
path: { caller: reports, endpoint: orders-api }
owner: ada
reason: until the reports move
until: 2027-01-31
---
kind: Target
name: all
endpoints: [orders-api]
soakMs: 5000
unwanted: [{ endpoint: orders-api, caller: web, reason: test }]
`;

const shown = (changes: Awaited<ReturnType<TestInventory['apply']>>): string[] =>
  changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`);

const absent = (kind: string, name: string): string => `kind: ${kind}\nname: ${name}\nstate: absent\n`;

const gateway = (inbound: string): string =>
  `kind: Proxy\nname: edge\nservice: web\nrole: gateway\ninbound:\n  - { listen: "127.0.0.1:1", ${inbound} }\n`;
const web = (protocol: string): string =>
  `kind: Endpoint\nname: web-${protocol}\nservice: web\nprotocol: ${protocol}\naddresses: ["127.0.0.1:1"]\nowner: x\n---\n`;

const exception = (until: string, kind = 'legacy-tls-hop'): string =>
  `---\nkind: Exception\nname: mainframe\nexception: ${kind}\nendpoint: processor\nowner: ada\nreason: vendor\nuntil: ${until}\n`;

forEachDatabase('declarations', (newUrl) => {
  test('make the whole inventory in one commit, each thing with its entry', async () => {
    await using inventory = await openInventory(await newUrl());
    const changes = await inventory.apply(fleet);
    assert.equal(changes.length, 13);
    assert.ok(changes.every(({ action }) => action === 'add'));
    assert.equal(inventory.commits(), 1);
    assert.equal(inventory.entries.length, 13);
    assert.ok(
      inventory.entries.every(({ environment, region, actor }) => environment === 'test' && region === 'local' && actor.name === 'ada'),
    );
    const { queries } = inventory.database;
    const [orders] = await listEndpoints(queries, '*');
    assert.deepEqual(orders?.addresses, ['127.0.0.1:8111', '127.0.0.1:8112']);
    assert.deepEqual(
      (await listPaths(queries, '*')).map(({ caller, allowed, dialled }) => [caller.split('/').at(-1), allowed, dialled]).toSorted(),
      [
        ['reports', false, true],
        ['web', true, true],
      ],
    );
    assert.equal((await listPolicies(queries, '*'))[0]?.policy.tls.minimumVersion, '1.3');
    const [target] = await listTargets(queries, '*');
    assert.deepEqual([target?.endpoints, target?.mode, target?.config.soakMs], [[orders!.id], 'enforce', 5_000]);
    assert.deepEqual(target?.config.unwanted, [{ endpointId: orders!.id, caller: 'spiffe://acme.example/test/web', reason: 'test' }]);
    const scanner = await findDeclaredProxy(queries, 'test', 'scanner-1');
    assert.equal(scanner?.spiffeId, 'spiffe://acme.example/test/countersign/probe');
  });

  test('applied a second time change nothing and log nothing', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const before = await inventory.snapshot();
    const logged = inventory.entries.length;
    inventory.clock.advance(60_000);
    assert.deepEqual(await inventory.diff(fleet), []);
    assert.deepEqual(await inventory.apply(fleet), []);
    assert.deepEqual(await inventory.snapshot(), before);
    assert.equal(inventory.entries.length, logged);
  });

  test('are shown as they will be applied, without being applied', async () => {
    await using inventory = await openInventory(await newUrl());
    const announced = await inventory.diff(fleet);
    assert.deepEqual(await listServices(inventory.database.queries, '*'), []);
    assert.equal(inventory.entries.length, 0);
    assert.deepEqual(await inventory.apply(fleet), announced);
  });

  test('change fields and keep ids; what no document names stays', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const before = await inventory.snapshot();
    const changes = await inventory.apply(
      'kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: commerce\npolicy: strict\nallowedCallers: [reports]\n',
    );
    assert.deepEqual(shown(changes).toSorted(), [
      'change Endpoint orders-api',
      'change Path reports → orders-api',
      'change Path web → orders-api',
    ]);
    const fields = changes[0]!.fields;
    assert.deepEqual(
      fields.map(({ field }) => field),
      ['addresses', 'allowedCallers'],
    );
    const after = await inventory.snapshot();
    assert.equal(after.endpoints[0]?.id, before.endpoints[0]?.id);
    assert.deepEqual(new Set(after.paths.map(({ id }) => id)), new Set(before.paths.map(({ id }) => id)));
    assert.deepEqual(after.services, before.services);
  });

  test('remove what is declared absent, with its paths', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const changes = await inventory.apply(
      [absent('Exception', 'gap'), absent('Proxy', 'reports-1'), absent('Service', 'reports')].join('---\n'),
    );
    assert.deepEqual(shown(changes), [
      'remove Service reports',
      'remove Proxy reports-1',
      'remove Path reports → orders-api',
      'remove Exception gap',
    ]);
    assert.deepEqual(await inventory.apply(absent('Service', 'reports')), []);
    assert.equal((await listPaths(inventory.database.queries, '*')).length, 1);
  });

  test('a policy keeps every content that it ever had', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    await inventory.apply('kind: Policy\nname: strict\ndrainMs: 1000\n');
    const entry = inventory.entries.findLast(({ type }) => type === 'policy.set')!;
    assert.deepEqual(
      (entry.data['changes'] as readonly { readonly field: string; readonly effect: string }[]).map(({ field, effect }) => [field, effect]),
      [
        ['tls.minimumVersion', 'loosens'],
        ['drainMs', 'neutral'],
      ],
    );
    assert.notEqual(entry.data['digest'], entry.data['previousDigest']);
  });

  test('that name what is not there are refused whole', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const before = await inventory.snapshot();
    const logged = inventory.entries.length;
    const service = 'kind: Service\nname: fresh\nowner: x\n---\n';
    const refused: readonly (readonly [string, RegExp])[] = [
      ['kind: Endpoint\nname: a\nservice: nobody\nprotocol: tcp\naddresses: ["127.0.0.1:1"]\nowner: x\n', /service nobody is not declared/],
      ['kind: Endpoint\nname: a\nservice: web\nprotocol: tcp\naddresses: ["127.0.0.1:1"]\nowner: x\npolicy: lax\n', /policy lax/],
      [
        'kind: Endpoint\nname: a\nservice: web\nprotocol: tcp\naddresses: ["127.0.0.1:1"]\nowner: x\nallowedCallers: [nobody]\n',
        /caller nobody/,
      ],
      [
        'kind: Endpoint\nname: a\nservice: web\nprotocol: tcp\naddresses: ["127.0.0.1:1"]\nowner: x\nallowedCallers: ["spiffe://evil.example/test/web"]\n',
        /no declared service/,
      ],
      [
        'kind: Endpoint\nname: a\nservice: web\nprotocol: http\naddresses: ["127.0.0.1:1"]\nowner: x\nroutes: [{ path: /a, callers: [orders] }]\n',
        /caller orders of a route is no allowed caller/,
      ],
      [
        'kind: Endpoint\nname: a\nservice: web\nprotocol: http\naddresses: ["127.0.0.1:1"]\nowner: x\nroutes: [{ path: /a, callers: [nobody] }]\n',
        /caller nobody/,
      ],
      [
        'kind: Proxy\nname: a\nservice: web\nrole: sidecar\ninbound: [{ endpoint: orders-api, listen: "127.0.0.1:1", upstream: "127.0.0.1:2" }]\n',
        /is not of service web/,
      ],
      ['kind: Proxy\nname: a\nservice: web\nrole: sidecar\noutbound: [{ endpoint: nothing, listen: "127.0.0.1:1" }]\n', /endpoint nothing/],
      [
        'kind: Exception\nname: a\nexception: plaintext-path\npath: { caller: orders, endpoint: orders-api }\nowner: x\nreason: y\nuntil: 2027-01-01\n',
        /no path from orders/,
      ],
      ['kind: Target\nname: b\nendpoints: [nothing]\n', /endpoint nothing/],
      ['kind: Service\nname: a\nowner: x\n---\nkind: Service\nname: a\nowner: y\n', /declared twice/],
      [
        'kind: Service\nname: web\nowner: x\nenvironment: other\n---\nkind: Proxy\nname: p\nservice: orders\nrole: sidecar\nenvironment: other\n',
        /not declared in other/,
      ],
    ];
    for (const [text, message] of refused) {
      await assert.rejects(inventory.apply(service + text), { code: 'input-invalid', message }, text);
      await assert.rejects(inventory.diff(service + text), { code: 'input-invalid', message }, text);
    }
    assert.deepEqual(await inventory.snapshot(), before);
    assert.equal(inventory.entries.length, logged);
  });

  test('that take away what another still needs are refused whole', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const before = await inventory.snapshot();
    for (const [kind, name] of [
      ['Service', 'orders'],
      ['Service', 'web'],
      ['Endpoint', 'orders-api'],
      ['Policy', 'strict'],
      ['Proxy', 'reports-1'],
    ]) {
      await assert.rejects(inventory.apply(`kind: ${kind}\nname: ${name}\nstate: absent\n`), { code: 'state-conflict' }, `${kind} ${name}`);
    }
    assert.deepEqual(await inventory.snapshot(), before);
  });

  test('a gateway passes on and encrypts anew only what is there and fits', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const before = await inventory.snapshot();
    for (const [text, message] of [
      [`${web('http')}${gateway('endpoint: web-http, termination: reencrypt, nextEndpoint: nothing')}`, /endpoint nothing/],
      [`${web('http')}${gateway('endpoint: web-http, termination: reencrypt, nextEndpoint: web-http')}`, /its own next endpoint/],
      [`${web('tcp')}${gateway('endpoint: web-tcp, termination: reencrypt, nextEndpoint: orders-api')}`, /orders-api speaks http/],
      [gateway('endpoint: orders-api, termination: reencrypt, nextEndpoint: orders-api'), /is not of service web/],
      [
        `${web('http')}${gateway('endpoint: web-http, termination: mutual, upstream: "127.0.0.1:2", takesUnknown: true')}`,
        /passes web-http through as mutual/,
      ],
      [
        `${web('http').replace('owner:', 'routes: [{ path: /a, callers: [] }]\nowner:')}${gateway('endpoint: web-http, termination: passthrough, upstream: "127.0.0.1:2", takesUnknown: true')}`,
        /passes an endpoint with routes through/,
      ],
    ] as const) {
      await assert.rejects(inventory.apply(text), { message }, text);
    }
    assert.deepEqual(await inventory.snapshot(), before);
    await inventory.apply(gateway('endpoint: orders-api, termination: mutual, upstream: "127.0.0.1:8111", serverNames: [orders.example]'));
    await inventory.apply(`${web('http')}${gateway('endpoint: web-http, termination: reencrypt, nextEndpoint: orders-api')}`);
    const { paths, endpoints, services } = await inventory.snapshot();
    const [orders, caller] = [endpoints.find(({ name }) => name === 'orders-api')!, services.find(({ name }) => name === 'web')!];
    assert.ok(
      paths.some(({ callerServiceId, endpointId, dialled }) => callerServiceId === caller.id && endpointId === orders.id && dialled),
    );
    await assert.rejects(inventory.apply('kind: Endpoint\nname: orders-api\nstate: absent\n'), { code: 'state-conflict' });
  });

  test('pins are observed first, and old TLS needs a current exception', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const processor = (terms: string): string =>
      `kind: Endpoint\nname: processor\nservice: web\nprotocol: http\naddresses: ["127.0.0.1:9443"]\nowner: x\nexternal:\n  serverName: pay.example.com\n  anchorsPem: |\n${inventory.anchorsPem.trim().replaceAll(/^/gm, '    ')}\n${terms}`;
    const pins = (letters: string, pinning: string, more = ''): string =>
      processor(`  pins: [${[...letters].map((letter) => `"sha256/${letter.repeat(42)}A="`).join(', ')}]\n  pinning: ${pinning}\n${more}`);
    const early = { code: 'input-invalid', message: /observed before they are enforced/ };
    await assert.rejects(inventory.apply(pins('ab', 'enforce')), early);
    await inventory.apply(pins('ab', 'observe'));
    await inventory.apply(pins('ba', 'enforce'));
    await assert.rejects(inventory.apply(pins('ac', 'enforce')), early);
    await assert.rejects(inventory.apply(pins('ac', 'enforce', '  pinsForcedUntil: 2026-11-23\n')), early);
    await inventory.apply(pins('ac', 'enforce', '  pinsForcedUntil: 2026-11-30\n'));
    const old = processor('  oldTls: "1.0"\n');
    const unnamed = { code: 'input-invalid', message: /needs a current exception of the kind legacy-tls-hop/ };
    for (const text of [old, old + exception('2026-11-23'), old + exception('2026-12-01', 'third-party')]) {
      await assert.rejects(inventory.apply(text), unnamed, text);
    }
    await inventory.apply(old + exception('2026-12-01'));
    await assert.rejects(inventory.apply(`${old}---\nkind: Exception\nname: mainframe\nstate: absent\n`), unnamed);
    // Past its end it stands in the way of nothing else; the proxy has ended it.
    inventory.clock.advance(30 * 86_400_000);
    await inventory.apply('kind: Service\nname: later\nowner: x\n');
    await assert.rejects(inventory.apply(old), unnamed);
    const { endpoints } = await inventory.snapshot();
    assert.equal(endpoints.find(({ name }) => name === 'processor')?.external?.terms.oldTls, '1.0');
  });

  test('an external endpoint is served by no proxy of ours', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const external = `kind: Endpoint\nname: processor\nservice: web\nprotocol: http\naddresses: ["127.0.0.1:9443"]\nowner: x\nexternal:\n  serverName: pay.example.com\n  anchorsPem: |\n${inventory.anchorsPem.replaceAll(/^/gm, '    ')}`;
    await inventory.apply(external);
    const proxy =
      'kind: Proxy\nname: web-2\nservice: web\nrole: sidecar\ninbound: [{ endpoint: processor, listen: "127.0.0.1:1", upstream: "127.0.0.1:2" }]\n';
    await assert.rejects(inventory.apply(proxy), { code: 'input-invalid', message: /outside of the trust domain/ });
  });

  test('every list is of the environments asked for, and of no other', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    await inventory.apply(fleet.replaceAll(/^kind: /gm, 'environment: stage\nkind: '));
    const { queries } = inventory.database;
    const lists = [listServices, listEndpoints, listPaths, listDeclaredProxies, listExceptions, listPolicies, listTargets];
    for (const list of lists) {
      const all = await list(queries, '*');
      const stage = await list(queries, ['stage']);
      assert.equal(stage.length * 2, all.length, list.name);
      assert.ok(
        stage.every(({ environment }) => environment === 'stage'),
        list.name,
      );
      assert.deepEqual(await list(queries, []), [], list.name);
      assert.deepEqual(await list(queries, ['nowhere']), [], list.name);
    }
  });

  test('a caller of another environment is named by its SPIFFE ID, and its path is of the endpoint', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    await inventory.apply('kind: Service\nname: batch\nowner: x\nenvironment: stage\n');
    await inventory.apply(
      'kind: Endpoint\nname: web-api\nservice: web\nprotocol: tcp\naddresses: ["127.0.0.1:7"]\nowner: x\nallowedCallers: ["spiffe://acme.example/stage/batch"]\n',
    );
    const [path] = (await listPaths(inventory.database.queries, ['test'])).filter(({ caller }) => caller.includes('/stage/'));
    assert.equal(path?.allowed, true);
    assert.deepEqual(await listPaths(inventory.database.queries, ['stage']), []);
    assert.deepEqual(await findPath(inventory.database.queries, path!.id), path);
    assert.equal((await findServiceBySpiffeId(inventory.database.queries, path!.caller))?.name, 'batch');
  });

  test('proxies are found by id; unknown ids find nothing', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const { queries } = inventory.database;
    const all = await listDeclaredProxies(queries, '*');
    const ids = all.slice(0, 2).map(({ id }) => id);
    assert.equal((await findDeclaredProxies(queries, [...ids, 'proxy_00000000000000000000000000'])).length, 2);
    assert.deepEqual(await findDeclaredProxies(queries, []), []);
    assert.equal(await findDeclaredProxy(queries, 'stage', 'web-1'), null);
  });

  test('a long list is logged by what comes and goes, and fits a leaf', async () => {
    await using inventory = await openInventory(await newUrl());
    await inventory.apply(fleet);
    const names = Array.from({ length: 900 }, (_, index) => `caller-${index}-${'x'.repeat(40)}`);
    await inventory.apply(names.map((name) => `kind: Service\nname: ${name}\nowner: x\n`).join('---\n'));
    const changes = await inventory.apply(
      `kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: commerce\npolicy: strict\nallowedCallers: [web, ${names.join(', ')}]\n`,
    );
    const callers = changes[0]!.fields.find(({ field }) => field === 'allowedCallers')!.after as { readonly addedCount: number };
    assert.equal(callers.addedCount, 900);
    for (const entry of inventory.entries) assert.ok(JSON.stringify(entry).length < 60_000, entry.type);
  });
});

forEachDatabase('discovery', (newUrl) => {
  const place = { environment: 'test', region: 'local' };
  const ada = { kind: 'person', name: 'ada' } as const;

  test('keeps when an address was first and last seen, and what it said last', async () => {
    await using inventory = await openInventory(await newUrl());
    const { database, clock } = inventory;
    const first = clock.now();
    const observe = (plaintextHttp: string | null) =>
      recordDiscovered(
        { database },
        { ...place, observations: [{ address: '127.0.0.1:8111', plaintextHttp, tls: { versions: ['TLSv1.3'] } }] },
        ada,
        clock.now(),
      );
    assert.deepEqual(await observe('HTTP/1.1 200 OK'), { recorded: 1, fresh: 1 });
    clock.advance(1_000);
    assert.deepEqual(await observe(null), { recorded: 1, fresh: 0 });
    const [found, ...more] = await listDiscovered(database.queries, ['test']);
    assert.deepEqual(more, []);
    assert.deepEqual([found?.firstSeenAt, found?.lastSeenAt, found?.protocol], [first, first + 1_000, 'tls']);
    assert.deepEqual(await listDiscovered(database.queries, ['stage']), []);
    await observe('HTTP/2.0');
    assert.equal((await listDiscovered(database.queries, ['test']))[0]?.protocol, 'grpc');
    assert.equal(inventory.entries.filter(({ type }) => type === 'discovery.recorded').length, 3);
  });

  test('refuses addresses that are none and facts without bound, and keeps nothing of that run', async () => {
    await using inventory = await openInventory(await newUrl());
    const { database, clock } = inventory;
    const good = { address: '127.0.0.1:1', plaintextHttp: null, tls: null };
    for (const bad of [
      { ...good, address: 'localhost:1' },
      { ...good, tls: { names: 'x'.repeat(70_000) } },
    ]) {
      await assert.rejects(recordDiscovered({ database }, { ...place, observations: [good, bad] }, ada, clock.now()), {
        code: 'input-invalid',
      });
    }
    assert.deepEqual(await listDiscovered(database.queries, '*'), []);
    assert.equal(inventory.entries.length, 0);
  });
});
