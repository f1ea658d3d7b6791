import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { ada, openInventory, place, type TestInventory } from '../../../test/support/inventory.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import {
  Mode,
  Origination,
  PinMode,
  Plane,
  StatusCheck,
  Protocol,
  ProxyProtocol,
  type ProxySettings,
  ProxySettingsSchema,
  Termination,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { findDeclaredProxy, listEndpoints, listPaths } from '../inventory/store.ts';
import { deliveryFacts } from './delivery-facts.ts';
import { readProxyScopes } from './proxy-scopes.ts';
import { readFleet } from './read-fleet.ts';
import { reconcileSettings } from './reconcile.ts';
import { recordAcknowledgement } from './record-acknowledgement.ts';
import { registerProxy } from './register-proxy.ts';
import { requestRenewal } from './request-renewal.ts';
import { forgetConnections, setConnected } from './set-connected.ts';
import { setPathModes } from './set-path-modes.ts';
import { listJoinedProxies } from './joined-proxy-store.ts';
import { listSettings, listTrustDomainNeeds, readSettings } from './store.ts';

const federatedDomain = (name: string): string => `
kind: FederatedTrustDomain
name: ${name}
trustDomain: ${name}.example
url: https://bundles.${name}.example/
profile: https_web
`;

/** A caller of one trust domain, and a server of another. */
const federation = [
  federatedDomain('partner'),
  federatedDomain('other'),
  'kind: Service\nname: shop\nowner: partners\nspiffeId: spiffe://partner.example/shop\n',
  'kind: Service\nname: other\nowner: partners\nspiffeId: spiffe://other.example/api\n',
  'kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: commerce\nallowedCallers: [web, shop]\n',
  'kind: Endpoint\nname: other-api\nservice: other\nprotocol: http\naddresses: ["127.0.0.1:9555"]\nowner: partners\nallowedCallers: [web]\n',
  'kind: Proxy\nname: web-1\nservice: web\nrole: sidecar\noutbound: [{ endpoint: orders-api, listen: "127.0.0.1:9111" }, { endpoint: other-api, listen: "127.0.0.1:9112" }]\n',
].join('---\n');

const documents = (anchorsPem: string): string => `
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
name: processor
owner: finance
---
kind: Endpoint
name: orders-api
service: orders
protocol: http
addresses: ["127.0.0.1:8111", "127.0.0.1:8112"]
owner: commerce
allowedCallers: [web]
---
kind: Endpoint
name: processor
service: processor
protocol: tcp
addresses: ["127.0.0.1:9443"]
owner: finance
external:
  serverName: pay.example.com
  anchorsPem: |
${anchorsPem.replaceAll(/^/gm, '    ')}
---
kind: Proxy
name: orders-1
service: orders
role: sidecar
inbound: [{ endpoint: orders-api, listen: "127.0.0.1:8111", upstream: "unix:/run/orders.sock" }]
outbound: [{ endpoint: processor, listen: "127.0.0.1:9200" }]
---
kind: Proxy
name: web-1
service: web
role: sidecar
outbound: [{ endpoint: orders-api, listen: "127.0.0.1:9111" }]
---
kind: Proxy
name: scanner-1
role: scanner
`;

type Fleet = TestInventory & {
  readonly reconcile: () => Promise<number>;
  readonly idOf: (proxy: string) => Promise<EntityId<'proxy'>>;
  readonly settingsOf: (proxy: string) => Promise<ProxySettings>;
  readonly pathTo: (endpoint: string) => Promise<EntityId<'path'>>;
  readonly acknowledge: (proxy: string, generation: number, refusal?: string) => Promise<void>;
  readonly setMode: (
    pathId: EntityId<'path'>,
    receiverMode: 'observe' | 'permissive' | 'enforce',
    origination: 'plaintext' | 'mtls',
  ) => Promise<void>;
};

async function openFleet(url: string): Promise<Fleet> {
  const inventory = await openInventory(url);
  const { database, clock } = inventory;
  const { queries } = database;
  await inventory.apply(documents(inventory.anchorsPem));
  const signal = makeSignal();
  const idOf = async (proxy: string) => (await findDeclaredProxy(queries, 'test', proxy))!.id;
  return {
    ...inventory,
    reconcile: () =>
      reconcileSettings({ database, trustDomain: place.trustDomain, readLatched: async () => new Set(), changed: signal }, clock.now()),
    idOf,
    settingsOf: async (proxy) => fromBinary(ProxySettingsSchema, (await readSettings(queries, await idOf(proxy)))!.octets),
    pathTo: async (name) => {
      const endpoint = (await listEndpoints(queries, '*')).find((known) => known.name === name)!;
      return (await listPaths(queries, '*')).find(({ endpointId }) => endpointId === endpoint.id)!.id;
    },
    acknowledge: async (proxy, generation, refusal) =>
      recordAcknowledgement(
        { database, answered: signal },
        { proxyId: await idOf(proxy), generation, ...(refusal === undefined ? {} : { refusal }) },
        clock.now(),
      ),
    setMode: (pathId, receiverMode, origination) =>
      database.commit((unit) => setPathModes(unit, [{ pathId, receiverMode, origination }], clock.now())),
    [Symbol.asyncDispose]: () => inventory[Symbol.asyncDispose](),
  };
}

const all = (kind: string) => ({ 'orders-1': kind, 'scanner-1': kind, 'web-1': kind });
const declare = (kind: string, until: string): string =>
  `kind: Exception\nname: gap-${until}\nexception: ${kind}\nendpoint: orders-api\nowner: ada\nreason: x\nuntil: ${until}\n`;

const pin = (letter: string): string => `"sha256/${letter.repeat(42)}A="`;

forEachDatabase('settings', (newUrl) => {
  test('carry the routes of an endpoint, with callers by SPIFFE ID and by name', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    assert.deepEqual((await fleet.settingsOf('orders-1')).inbound[0]!.routes, []);
    const routes =
      '[{ methods: [POST], path: "/v1/*/refunds", callers: [web, "dns:a.example"] }, { path: /x, host: API.example, callers: [] }]';
    await fleet.apply(
      `kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: x\nallowedCallers: [web]\nroutes: ${routes}\n`,
    );
    await fleet.reconcile();
    const [inbound] = (await fleet.settingsOf('orders-1')).inbound;
    assert.deepEqual(
      inbound!.routes.map(({ methods, host, path, callerSpiffeIds, callerSans }) => [methods, host, path, callerSpiffeIds, callerSans]),
      [
        [['POST'], '', '/v1/*/refunds', ['spiffe://acme.example/test/web'], ['dns:a.example']],
        [[], 'api.example', '/x', [], []],
      ],
    );
  });

  test('say whose connections begin with a PROXY protocol header, and what the service is sent', async () => {
    await using fleet = await openFleet(await newUrl());
    const declare = (more: string) =>
      fleet.apply(
        `kind: Endpoint\nname: orders-raw\nservice: orders\nprotocol: tcp\naddresses: ["127.0.0.1:8113"]\nowner: x\n---\nkind: Proxy\nname: orders-1\nservice: orders\nrole: sidecar\ninbound: [{ endpoint: orders-raw, listen: "127.0.0.1:8113", upstream: "127.0.0.1:9113"${more} }]\n`,
      );
    const sent = async () => {
      await fleet.reconcile();
      const [inbound] = (await fleet.settingsOf('orders-1')).inbound;
      return [inbound!.proxyProtocolFrom, inbound!.proxyProtocolTo];
    };
    await declare(', proxyProtocolFrom: ["10.0.0.0/8", "2001:DB8::/32"], sendProxyProtocol: v2');
    assert.deepEqual(await sent(), [['10.0.0.0/8', '2001:db8::/32'], ProxyProtocol.V2]);
    assert.deepEqual(await declare(', proxyProtocolFrom: ["10.0.0.0/8", "2001:db8::/32"], sendProxyProtocol: v2'), []);
    await declare(', sendProxyProtocol: v1');
    assert.deepEqual(await sent(), [[], ProxyProtocol.V1]);
    await declare('');
    assert.deepEqual(await sent(), [[], ProxyProtocol.UNSPECIFIED]);
  });

  test('say what an endpoint bears to those who serve it, and what its replicas meet to those who call it', async () => {
    await using fleet = await openFleet(await newUrl());
    const sent = async () => {
      await fleet.reconcile();
      const [inbound] = (await fleet.settingsOf('orders-1')).inbound;
      const [outbound] = (await fleet.settingsOf('web-1')).outbound;
      const { maximumConnections, handshakesPerAddress, maximumBodyOctets } = inbound!;
      const { retries, ejection, healthCheck } = outbound!;
      return {
        bears: [maximumConnections, handshakesPerAddress, maximumBodyOctets],
        meets: [retries?.percent, ejection?.failures, healthCheck?.path, healthCheck?.intervalMs],
      };
    };
    assert.deepEqual(await sent(), { bears: [16_000, 1_000, 0n], meets: [20, undefined, undefined, undefined] });
    await fleet.apply(`
kind: Policy
name: default
http: { maximumBodyOctets: 1000000 }
limits: { connections: 50, handshakesPerAddress: 5 }
replicas: { retries: none, ejection: { failures: 7 }, healthCheck: { path: /healthz, intervalMs: 1000 } }
`);
    assert.deepEqual(await sent(), { bears: [50, 5, 1_000_000n], meets: [undefined, 7, '/healthz', 1_000] });
  });

  test('say what a proxy listens on, who may call and where it hands on', async () => {
    await using fleet = await openFleet(await newUrl());
    assert.equal(await fleet.reconcile(), 3);
    const orders = await fleet.settingsOf('orders-1');
    assert.deepEqual([orders.generation, orders.spiffeId, orders.trustDomain], [1n, 'spiffe://acme.example/test/orders', 'acme.example']);
    const [inbound] = orders.inbound;
    assert.deepEqual(inbound?.listen?.address, {
      case: 'internet',
      value: { $typeName: 'countersign.v1.InternetAddress', ip: '127.0.0.1', port: 8111 },
    });
    assert.deepEqual(inbound?.upstream?.address, { case: 'unixPath', value: '/run/orders.sock' });
    assert.deepEqual([inbound?.anonymousMode, inbound?.strangerMode], [Mode.OBSERVE, Mode.OBSERVE]);
    assert.deepEqual(
      inbound?.callers.map(({ spiffeId, mode }) => [spiffeId, mode]),
      [['spiffe://acme.example/test/web', Mode.OBSERVE]],
    );
    assert.equal(inbound?.probeSpiffeId, 'spiffe://acme.example/test/countersign/probe');
    assert.equal(orders.certificate?.renewAtPermille, 500);
    assert.equal((await fleet.settingsOf('web-1')).certificate?.renewAtPermille, 667);
    assert.deepEqual((await fleet.settingsOf('scanner-1')).inbound, []);
  });

  test('of a service in its own process name endpoints, whom to admit and where to dial, and no socket of a proxy', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.apply(
      'kind: Proxy\nname: orders-2\nservice: orders\nrole: sdk\ninbound: [{ endpoint: orders-api }]\noutbound: [{ endpoint: processor }]\n',
    );
    await fleet.reconcile();
    const { inbound, outbound } = await fleet.settingsOf('orders-2');
    assert.deepEqual([inbound[0]?.endpointName, inbound[0]?.listen, inbound[0]?.upstream], ['orders-api', undefined, undefined]);
    assert.deepEqual([outbound[0]?.endpointName, outbound[0]?.listen, outbound[0]?.upstreams.length], ['processor', undefined, 1]);
    assert.deepEqual(inbound[0]?.callers.length, 1);
  });

  test('say what is to run them, and are another generation when that changes', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    const before = await fleet.settingsOf('web-1');
    const planes = async () => (await fleet.snapshot()).proxies.map(({ name, plane }) => `${name} ${plane}`).toSorted();
    assert.deepEqual([before.plane, await planes()], [Plane.UNSPECIFIED, ['orders-1 native', 'scanner-1 native', 'web-1 native']]);
    await fleet.apply(
      'kind: Proxy\nname: web-1\nservice: web\nrole: sidecar\nplane: envoy\noutbound: [{ endpoint: orders-api, listen: "127.0.0.1:9111" }]\n',
    );
    assert.equal(await fleet.reconcile(), 1);
    const after = await fleet.settingsOf('web-1');
    assert.deepEqual({ ...after, plane: before.plane, generation: before.generation }, before);
    assert.deepEqual([after.plane, after.generation], [Plane.ENVOY, before.generation + 1n]);
    assert.deepEqual((await planes()).at(-1), 'web-1 envoy');
  });

  test('reach an endpoint of ours by its identity, and a foreign one by its name under its own anchors', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    const [toOrders] = (await fleet.settingsOf('web-1')).outbound;
    assert.equal(toOrders?.origination, Origination.PLAINTEXT);
    assert.equal(toOrders.serverSpiffeId, 'spiffe://acme.example/test/orders');
    assert.equal(toOrders.upstreams.length, 2);
    const [toProcessor] = (await fleet.settingsOf('orders-1')).outbound;
    assert.equal(toProcessor?.origination, Origination.TLS);
    assert.deepEqual([toProcessor.serverName, toProcessor.serverSpiffeId], ['pay.example.com', '']);
    assert.equal(toProcessor.serverAnchors.length, 1);
  });

  test('keep their generation while nothing that they are made from changes', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    const before = await readSettings(fleet.database.queries, await fleet.idOf('orders-1'));
    const logged = fleet.entries.length;
    fleet.clock.advance(60_000);
    assert.equal(await fleet.reconcile(), 0);
    await fleet.apply('kind: Service\nname: unrelated\nowner: x\n');
    assert.equal(await fleet.reconcile(), 0);
    assert.deepEqual(await readSettings(fleet.database.queries, await fleet.idOf('orders-1')), before);
    assert.equal(fleet.entries.slice(logged).filter(({ type }) => type === 'settings.changed').length, 0);
  });

  test('rise by one generation, and only for the proxies that a change is about', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    await fleet.setMode(await fleet.pathTo('orders-api'), 'permissive', 'plaintext');
    assert.equal(await fleet.reconcile(), 1);
    const generations = (await listSettings(fleet.database.queries, '*')).map(({ generation }) => generation).toSorted();
    assert.deepEqual(generations, [1, 1, 2]);
    const orders = await fleet.settingsOf('orders-1');
    assert.equal(orders.generation, 2n);
    assert.deepEqual([orders.inbound[0]?.anonymousMode, orders.inbound[0]?.callers[0]?.mode], [Mode.PERMISSIVE, Mode.PERMISSIVE]);
    const entry = fleet.entries.findLast(({ type }) => type === 'settings.changed')!;
    assert.equal((entry.data['proxies'] as readonly unknown[]).length, 1);
  });

  test('of a caller that is added to an enforced endpoint begin enforced', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.setMode(await fleet.pathTo('orders-api'), 'enforce', 'mtls');
    await fleet.apply(
      'kind: Service\nname: batch\nowner: x\n---\nkind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: x\nallowedCallers: [web, batch]\n---\nkind: Proxy\nname: batch-1\nservice: batch\nrole: sidecar\noutbound: [{ endpoint: orders-api, listen: "127.0.0.1:9300" }]\n',
    );
    await fleet.reconcile();
    const [inbound] = (await fleet.settingsOf('orders-1')).inbound;
    assert.deepEqual([inbound?.anonymousMode, inbound?.strangerMode], [Mode.ENFORCE, Mode.ENFORCE]);
    assert.deepEqual(
      inbound?.callers.map(({ mode }) => mode),
      [Mode.ENFORCE, Mode.ENFORCE],
    );
    assert.equal((await fleet.settingsOf('batch-1')).outbound[0]?.origination, Origination.MTLS);
  });

  test('say at both ends that an endpoint speaks HTTP/2', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.apply(
      'kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: grpc\naddresses: ["127.0.0.1:8111"]\nowner: x\nallowedCallers: [web]\n',
    );
    await fleet.reconcile();
    assert.equal((await fleet.settingsOf('orders-1')).inbound[0]?.protocol, Protocol.GRPC);
    assert.equal((await fleet.settingsOf('web-1')).outbound[0]?.protocol, Protocol.GRPC);
  });

  test('name no caller that only dials', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.apply('kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: x\n');
    await fleet.reconcile();
    assert.deepEqual((await fleet.settingsOf('orders-1')).inbound[0]?.callers, []);
    assert.equal((await fleet.settingsOf('web-1')).outbound.length, 1);
  });

  test('go when the proxy is declared no more', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    const id = await fleet.idOf('web-1');
    await fleet.apply('kind: Proxy\nname: web-1\nstate: absent\n');
    assert.equal(await fleet.reconcile(), 1);
    assert.equal(await readSettings(fleet.database.queries, id), null);
  });

  test('two reconcilers at once make one generation', async () => {
    await using fleet = await openFleet(await newUrl());
    await Promise.all([fleet.reconcile(), fleet.reconcile(), fleet.reconcile()]);
    assert.deepEqual(
      (await listSettings(fleet.database.queries, '*')).map(({ generation }) => generation),
      [1, 1, 1],
    );
  });

  test('modes that would refuse every call, and paths that are gone, are not set', async () => {
    await using fleet = await openFleet(await newUrl());
    const path = await fleet.pathTo('orders-api');
    await assert.rejects(fleet.setMode(path, 'enforce', 'plaintext'), { code: 'state-conflict' });
    await fleet.reconcile();
    await fleet.setMode('path_00000000000000000000000000', 'permissive', 'plaintext');
    assert.equal(await fleet.reconcile(), 0);
  });
});

forEachDatabase('delivery', (newUrl) => {
  test('is pending until the present generation is acknowledged', async () => {
    await using fleet = await openFleet(await newUrl());
    const { queries } = fleet.database;
    const kinds = async () =>
      Object.fromEntries([...(await deliveryFacts(queries)).proxies.values()].map(({ name, delivery }) => [name, delivery.kind]));
    assert.deepEqual(await kinds(), all('pending'));
    await fleet.reconcile();
    assert.deepEqual(await kinds(), all('pending'));
    for (const name of ['orders-1', 'web-1', 'scanner-1']) await fleet.acknowledge(name, 1);
    assert.deepEqual(await kinds(), all('acknowledged'));
  });

  test('of nothing counts between a change of modes and its compilation', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    for (const name of ['orders-1', 'web-1', 'scanner-1']) await fleet.acknowledge(name, 1);
    await fleet.setMode(await fleet.pathTo('orders-api'), 'permissive', 'plaintext');
    const { proxies } = await deliveryFacts(fleet.database.queries);
    assert.ok([...proxies.values()].every(({ delivery }) => delivery.kind === 'pending'));
    await fleet.reconcile();
    const after = await deliveryFacts(fleet.database.queries);
    assert.deepEqual(after.proxies.get(await fleet.idOf('web-1'))?.delivery, { kind: 'acknowledged' });
    assert.deepEqual(after.proxies.get(await fleet.idOf('orders-1'))?.delivery, { kind: 'pending' });
  });

  test('an answer to another generation changes nothing', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    for (const generation of [0, 2, 99]) await fleet.acknowledge('orders-1', generation);
    await fleet.acknowledge('orders-1', 7, 'no');
    const { proxies } = await deliveryFacts(fleet.database.queries);
    assert.deepEqual(proxies.get(await fleet.idOf('orders-1'))?.delivery, { kind: 'pending' });
    await recordAcknowledgement(
      { database: fleet.database, answered: makeSignal() },
      { proxyId: 'proxy_x', generation: 1, refusal: 'x' },
      1,
    );
  });

  test('a refusal stands with its words, is logged once, and ends with the next generation', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    const refusal = `port taken ${'x'.repeat(1_000)}`;
    await fleet.acknowledge('orders-1', 1, refusal);
    await fleet.acknowledge('orders-1', 1, refusal);
    const delivery = async () => (await deliveryFacts(fleet.database.queries)).proxies.get(await fleet.idOf('orders-1'))?.delivery;
    assert.deepEqual(await delivery(), { kind: 'refused', detail: refusal.slice(0, 500) });
    assert.equal(fleet.entries.filter(({ type }) => type === 'settings.refused').length, 1);
    await fleet.setMode(await fleet.pathTo('orders-api'), 'permissive', 'plaintext');
    await fleet.reconcile();
    assert.deepEqual(await delivery(), { kind: 'pending' });
    await fleet.acknowledge('orders-1', 2);
    assert.deepEqual(await delivery(), { kind: 'acknowledged' });
  });

  test('the trust domains of others are named to the proxies that verify identities of theirs, and to no others', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.apply(federation);
    await fleet.reconcile();
    assert.deepEqual((await fleet.settingsOf('orders-1')).federatedTrustDomains, ['partner.example']);
    const web = await fleet.settingsOf('web-1');
    assert.deepEqual(web.federatedTrustDomains, ['other.example']);
    const way = web.outbound.find(({ endpointName }) => endpointName === 'other-api')!;
    assert.deepEqual([way.origination, way.serverSpiffeId], [Origination.MTLS, 'spiffe://other.example/api']);
    const needs = new Map((await listTrustDomainNeeds(fleet.database.queries)).map(({ proxyId, trustDomains }) => [proxyId, trustDomains]));
    assert.deepEqual(
      needs,
      new Map([
        [await fleet.idOf('orders-1'), ['partner.example']],
        [await fleet.idOf('web-1'), ['other.example']],
      ]),
    );
    const facts = await readFleet(fleet.database.queries, 'test', fleet.clock.now());
    const of = (caller: string) =>
      facts.paths.filter((path) => path.caller.includes(caller)).map(({ protection, callerIs }) => [protection, callerIs]);
    assert.deepEqual(of('partner.example'), [['mutual', 'foreign']]);
    assert.ok(of('/web').some(([protection, callerIs]) => protection === 'federated' && callerIs === 'ours'));
  });

  test('the facts of a rollout name both ends of each path', async () => {
    await using fleet = await openFleet(await newUrl());
    const facts = await readFleet(fleet.database.queries, 'test', fleet.clock.now());
    const [web, orders] = [await fleet.idOf('web-1'), await fleet.idOf('orders-1')];
    const byProtection = new Map(facts.paths.map((path) => [path.protection, path]));
    assert.deepEqual(byProtection.get('mutual')?.callerProxies, [web]);
    assert.deepEqual(byProtection.get('one-way')?.callerProxies, [orders]);
    assert.deepEqual(
      facts.endpoints.map(({ unit, receivers }) => [unit, receivers]),
      [
        ['call', [orders]],
        ['connection', []],
      ],
    );
    assert.deepEqual(await readFleet(fleet.database.queries, 'stage', fleet.clock.now()).then(({ paths }) => paths), []);
  });

  test('only an exception that holds a path, and only until it ends, is a fact', async () => {
    await using fleet = await openFleet(await newUrl());
    const exceptionOf = async () =>
      (await readFleet(fleet.database.queries, 'test', fleet.clock.now())).paths.find(({ protection }) => protection === 'mutual')
        ?.exception;
    await fleet.apply(declare('legacy-plaintext-hop', '2030-01-01'));
    assert.equal(await exceptionOf(), null);
    await fleet.apply(declare('plaintext-path', '2026-11-25'));
    await fleet.apply(declare('plaintext-path', '2026-11-26'));
    assert.deepEqual(await exceptionOf(), { owner: 'ada', until: Date.parse('2026-11-26T23:59:59.999Z') });
    fleet.clock.advance(4 * 86_400_000);
    assert.equal(await exceptionOf(), null);
  });
});

forEachDatabase('renewals', (newUrl) => {
  test('raise the epoch of those that are meant, in their next settings', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.reconcile();
    const { database, clock } = fleet;
    const renew = (subject: Parameters<typeof requestRenewal>[1]['subject'], scope: '*' | readonly string[] = '*') =>
      requestRenewal({ database, changed: makeSignal() }, { subject, scope, reason: 'key ceremony' }, ada, clock.now());
    assert.equal((await renew({ kind: 'all' })).proxies.length, 3);
    assert.deepEqual((await renew({ kind: 'service', name: 'orders' })).proxies, [await fleet.idOf('orders-1')]);
    assert.deepEqual((await renew({ kind: 'proxy', name: 'web-1' })).proxies, [await fleet.idOf('web-1')]);
    assert.equal(await fleet.reconcile(), 3);
    assert.equal((await fleet.settingsOf('orders-1')).certificate?.renewalEpoch, 2n);
    assert.equal((await fleet.settingsOf('scanner-1')).certificate?.renewalEpoch, 1n);
    assert.equal(fleet.entries.filter(({ type }) => type === 'renewal.requested').length, 3);
    await assert.rejects(renew({ kind: 'service', name: 'nobody' }), { code: 'not-found' });
    await assert.rejects(renew({ kind: 'all' }, ['stage']), { code: 'not-found' });
    await assert.rejects(renew({ kind: 'proxy', name: 'web-1' }, []), { code: 'not-found' });
  });
});

forEachDatabase('proxies', (newUrl) => {
  test('join once, join again under their id, come and go', async () => {
    await using fleet = await openFleet(await newUrl());
    const { database, clock } = fleet;
    const { queries } = database;
    const joiner = {
      proxyId: await fleet.idOf('orders-1'),
      proxyName: 'orders-1',
      spiffeId: (await findDeclaredProxy(queries, 'test', 'orders-1'))!.spiffeId,
      role: 'sidecar',
      environment: 'test',
      region: 'local',
      version: '0.1.0',
      capabilities: ['settings/1'],
    } as const;
    const joinedAt = clock.now();
    await database.commit((unit) => registerProxy(unit, joiner, clock.now()));
    clock.advance(5_000);
    await database.commit((unit) => registerProxy(unit, { ...joiner, version: '0.2.0' }, clock.now()));
    await setConnected({ database }, new Map([[joiner.proxyId, true]]), clock.now());
    const [proxy, ...more] = await listJoinedProxies(queries, ['test']);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [proxy?.version, proxy?.joinedAt, proxy?.lastSeenAt, proxy?.connected, proxy?.capabilities],
      ['0.2.0', joinedAt, joinedAt + 5_000, true, ['settings/1']],
    );
    await forgetConnections({ database });
    assert.equal((await listJoinedProxies(queries, '*'))[0]?.connected, false);
    assert.deepEqual(await listJoinedProxies(queries, ['stage']), []);
    await setConnected({ database }, new Map([['proxy_nobody', true]]), clock.now());
    assert.equal((await listJoinedProxies(queries, '*')).length, 1);
  });

  test('what is demanded of a third party is compiled, and old TLS only under a current exception', async () => {
    await using fleet = await openFleet(await newUrl());
    const until = '2026-11-25T00:00:00Z';
    await fleet.apply(
      `kind: Endpoint\nname: processor\nservice: processor\nprotocol: tcp\naddresses: ["127.0.0.1:9443"]\nowner: finance\nexternal:\n  serverName: pay.example.com\n  pins: [${pin('a')}, ${pin('b')}]\n  showsCertificate: true\n  revocation: enforce\n  revocationUnknown: refuse\n  revocationFrom: [203.0.113.0/24]\n  oldTls: "1.1"\n  anchorsPem: |\n${fleet.anchorsPem.trim().replaceAll(/^/gm, '    ')}\n---\nkind: Exception\nname: mainframe\nexception: legacy-tls-hop\npath: { caller: orders, endpoint: processor }\nowner: ada\nreason: vendor\nuntil: ${until}\n`,
    );
    await fleet.reconcile();
    const [outbound] = (await fleet.settingsOf('orders-1')).outbound;
    const { $typeName: _name, ...oldTls } = outbound!.oldTls!;
    assert.deepEqual(oldTls, { minimumVersion: 0x0302, untilMs: BigInt(Date.parse(until)), exception: 'mainframe' });
    assert.deepEqual(
      [outbound!.pins.map(({ length }) => length), outbound!.pinMode, outbound!.showsCertificate],
      [[32, 32], PinMode.OBSERVE, true],
    );
    assert.deepEqual(
      [outbound!.statusCheck, outbound!.refusesUnknownStatus, outbound!.statusFrom],
      [StatusCheck.ENFORCE, true, ['203.0.113.0/24']],
    );
    fleet.clock.advance(2 * 86_400_000);
    await fleet.apply('kind: Service\nname: later\nowner: x\n');
    await fleet.reconcile();
    assert.equal((await fleet.settingsOf('orders-1')).outbound[0]!.oldTls, undefined);
  });

  test('a gateway is told what to pass on untouched and what to encrypt anew, never in plaintext', async () => {
    await using fleet = await openFleet(await newUrl());
    await fleet.apply(`kind: Endpoint
name: web-api
service: web
protocol: http
addresses: ["127.0.0.1:8443"]
owner: web
---
kind: Proxy
name: edge-1
service: web
role: gateway
inbound:
  - { endpoint: web-api, termination: reencrypt, listen: "127.0.0.1:8443", nextEndpoint: orders-api }
  - { endpoint: orders-api, termination: mutual, listen: "127.0.0.1:443", upstream: "127.0.0.1:8111", serverNames: [orders.example], maximumConnections: 7 }
`);
    await fleet.reconcile();
    const [mutual, reencrypt] = (await fleet.settingsOf('edge-1')).inbound;
    assert.deepEqual(
      [mutual?.termination, mutual?.serverNames, mutual?.takesUnknown, mutual?.idleMs, mutual?.maximumConnections, mutual?.callers],
      [Termination.MUTUAL, ['orders.example'], false, 3_600_000, 7, []],
    );
    assert.deepEqual([reencrypt?.termination, reencrypt?.upstream], [Termination.REENCRYPT, undefined]);
    // The path is in observe, where a caller's own proxy would still speak plaintext.
    const { origination, serverSpiffeId, upstreams, listen } = reencrypt!.nextHop!;
    assert.deepEqual(
      [origination, serverSpiffeId, upstreams.length, listen],
      [Origination.MTLS, 'spiffe://acme.example/test/orders', 2, undefined],
    );
    const { queries } = fleet.database;
    const orders = (await listEndpoints(queries, '*')).find(({ name }) => name === 'orders-api')!;
    const scope = (await readProxyScopes(queries, [await fleet.idOf('edge-1')])).get(await fleet.idOf('edge-1'))!;
    assert.deepEqual([scope.serves.has(orders.id), scope.carries.has(orders.id), scope.calls.has(orders.id)], [false, true, true]);
    // Who passes TLS through receives for nobody; who encrypts anew calls.
    const { receiversOf, callersOf } = await deliveryFacts(queries);
    assert.deepEqual(
      receiversOf.get(orders.id)?.map(({ name }) => name),
      ['orders-1'],
    );
    assert.deepEqual(
      callersOf
        .get(await fleet.pathTo('orders-api'))
        ?.map(({ name }) => name)
        .toSorted(),
      ['edge-1', 'web-1'],
    );
  });

  test('may speak of what they serve and call, and of nothing else', async () => {
    await using fleet = await openFleet(await newUrl());
    const { queries } = fleet.database;
    const [orders, web] = [await fleet.idOf('orders-1'), await fleet.idOf('web-1')];
    const endpoints = new Map((await listEndpoints(queries, '*')).map(({ name, id }) => [name, id]));
    const scopes = await readProxyScopes(queries, [orders, web, 'proxy_nobody']);
    assert.equal(scopes.size, 2);
    assert.deepEqual([...scopes.get(orders)!.serves], [endpoints.get('orders-api')]);
    assert.deepEqual([...scopes.get(orders)!.calls], [endpoints.get('processor')]);
    assert.deepEqual([...scopes.get(web)!.serves], []);
  });
});
