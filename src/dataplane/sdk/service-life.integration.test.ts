import assert from 'node:assert/strict';
import { chmod, mkdtemp } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Mode, Origination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { SETTINGS_TYPE } from '../../core/messages/type-urls.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { callInClear, inboundTo, loopback, outboundTo } from '../../../test/support/proxy-lab.ts';
import { calls, endpointIdOf, listening, named, openAgain, openService, serves, tellCaller } from '../../../test/support/sdk-lab.ts';
import { startTestControlPlane, type TestControlPlane } from '../../../test/support/test-control-plane.ts';
import { runProxy, type RunningProxy } from '../proxy/run-proxy.ts';
import { identityOf, open } from './countersign-sdk.ts';

const origin: Server = createServer(
  (request, response) => void request.resume().on('end', () => response.end(String(request.headers['x-forwarded-client-cert'] ?? 'none'))),
);
const originPort = await listening(origin);
after(() => origin.close());

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function runSidecar(
  control: TestControlPlane,
  name: string,
  ports: Parameters<TestControlPlane['setSettings']>[3],
): Promise<RunningProxy> {
  const { state, proxyId, spiffeId } = await control.joined(name);
  for (const { endpointId } of ports?.inbound ?? []) control.scope.serves.add(endpointId!);
  for (const { endpointId } of ports?.outbound ?? []) control.scope.calls.add(endpointId!);
  control.setSettings(proxyId, spiffeId, 1n, { ...ports, telemetryIntervalMs: 100 });
  const proxy = await runProxy({
    control: control.control,
    state,
    joinToken: null,
    upstreamTrustFile: null,
    clock: control.clock,
    log: control.log,
    env: {},
  });
  await control.acknowledgement(SETTINGS_TYPE, (found) => found.name === proxyId);
  return proxy;
}

const ofStock = (mode: Mode) => ({
  endpointId: endpointIdOf('stock'),
  endpointName: 'stock',
  callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: named('orders'), mode }],
  probeSpiffeId: '',
});

test('a service calls an enforced sidecar, which tells the service behind who called; a stranger does not get through', async () => {
  await using control = await startTestControlPlane();
  const port = await freePort();
  await using _ = await runSidecar(control, 'stock', {
    inbound: [inboundTo(originPort, 'enforce', { ...ofStock(Mode.ENFORCE), listen: loopback(port) })],
  });
  await using orders = await openService(control, 'orders', { outbound: [calls('stock', [port])] });
  assert.match(await (await orders.countersign.fetch('http://stock/')).text(), new RegExp(`URI=${named('orders')}`));
  await using reports = await openService(control, 'reports', { outbound: [calls('stock', [port])] });
  await assert.rejects(reports.countersign.fetch('http://stock/'));
});

test('a sidecar calls a service that enforces in its own process', async () => {
  await using control = await startTestControlPlane();
  await using stock = await openService(control, 'stock', { inbound: [serves('stock', 'enforce')] });
  const server = stock.countersign.createServer({ endpoint: 'stock' }, tellCaller);
  const port = await listening(server);
  const egress = await freePort();
  const { callers: _callers, probeSpiffeId: _probe, ...endpoint } = ofStock(Mode.ENFORCE);
  await using _ = await runSidecar(control, 'orders', {
    outbound: [outboundTo([port], Origination.MTLS, { ...endpoint, listen: loopback(egress), serverSpiffeId: named('stock') })],
  });
  assert.match(await callInClear(egress), new RegExp(`"spiffeId":"${named('orders')}","channel":"mtls"`));
});

test('both ends renew their certificates ten times under load: no call fails, and open connections live on', async () => {
  await using control = await startTestControlPlane();
  await using stock = await openService(control, 'stock', { inbound: [serves('stock', 'enforce')] });
  const sockets = new Set<object>();
  const server = stock.countersign.createServer({ endpoint: 'stock' }, (request, response) => {
    sockets.add(request.socket);
    tellCaller(request, response);
  });
  await using orders = await openService(control, 'orders', { outbound: [calls('stock', [await listening(server)])] });
  const stop = new AbortController();
  const done = { answered: 0 };
  const load = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const response = await orders.countersign.fetch('http://stock/');
      assert.equal(((await response.json()) as { readonly spiffeId: string }).spiffeId, named('orders'));
      done.answered += 1;
    }
  };
  const running = Promise.all(Array.from({ length: 8 }, load));
  const atLeast = async (count: number): Promise<void> => {
    while (done.answered < count) await Promise.race([running, new Promise((resolve) => setImmediate(resolve))]);
  };
  await atLeast(50);
  for (let round = 0; round < 10; round++) {
    await orders.countersign.renew();
    await stock.countersign.renew();
    await atLeast(done.answered + 20);
  }
  stop.abort();
  await running;
  // Ten rotations with new connections each time would have made eighty.
  assert.ok(sockets.size <= 24, `${sockets.size} connections for 8 callers`);
});

test('after a renewal new connections show and prove the new certificate', async () => {
  await using control = await startTestControlPlane();
  await using stock = await openService(control, 'stock', { inbound: [serves('stock', 'enforce')] });
  const serials: (string | null)[] = [];
  const server = stock.countersign.createServer({ endpoint: 'stock' }, (request, response) => {
    serials.push(identityOf(request).serial);
    response.setHeader('Connection', 'close').end();
  });
  await using orders = await openService(control, 'orders', { outbound: [calls('stock', [await listening(server)])] });
  const call = async (): Promise<string> => (await orders.countersign.fetch('http://stock/')).text();
  await call();
  await orders.countersign.renew();
  await call();
  const identity = await orders.state.readIdentity();
  assert.equal(serials[1], parseCertificate(identity!.chain[0]!).serialHex);
  assert.notEqual(serials[0], serials[1]);
});

test('with the control plane away calls go on, and a service starts again from its folder, revocations included', async () => {
  const control = await startTestControlPlane();
  await using stock = await openService(control, 'stock', { inbound: [serves('stock', 'enforce')] });
  const port = await listening(stock.countersign.createServer({ endpoint: 'stock' }, tellCaller));
  const orders = await openService(control, 'orders', { outbound: [calls('stock', [port])] });
  await orders.setPorts({ outbound: [calls('stock', [port])] });
  await control.stop();
  assert.equal((await orders.countersign.fetch('http://stock/')).status, 200);
  await assert.rejects(openAgain(control, orders.state), { code: 'state-conflict', message: /another process/ });
  await orders.countersign.close(0);
  await using again = await openAgain(control, orders.state);
  assert.notEqual(again.status.kind, 'connected');
  assert.equal((await again.fetch('http://stock/')).status, 200);
  await assert.rejects(again.renew(), { code: 'control-plane-unreachable' });
});

test('close() lets the call under way end, takes no new one, and resolves when all is over', async () => {
  await using control = await startTestControlPlane();
  await using stock = await openService(control, 'stock', { inbound: [serves('stock', 'enforce')] });
  const began = Promise.withResolvers<() => void>();
  const server = stock.countersign.createServer({ endpoint: 'stock' }, (_request, response) => began.resolve(() => response.end('done')));
  const port = await listening(server);
  await using orders = await openService(control, 'orders', { outbound: [calls('stock', [port])] });
  const call = orders.countersign.fetch('http://stock/');
  const finish = await began.promise;
  const closed = stock.countersign.close(5_000);
  while (server.listening) await new Promise((resolve) => setImmediate(resolve));
  finish();
  assert.equal(await (await call).text(), 'done');
  await orders.countersign.close(0);
  await closed;
});

test('open() says what is missing, by its code', async () => {
  await using control = await startTestControlPlane();
  const folder = await mkdtemp(join(tmpdir(), 'countersign-sdk-'));
  const at = `127.0.0.1:${control.port}`;
  const quiet = { log: control.log, clock: control.clock, readyWithinMs: 300 };
  await assert.rejects(open({ control: at, state: folder, ...quiet }), { code: 'state-conflict' });
  await assert.rejects(open({ control: at, state: folder, join: { token: 'csjoin1.x' }, ...quiet }), { code: 'token-refused' });
  await assert.rejects(open({ control: at, state: folder, join: { tokenFile: join(folder, 'none') }, ...quiet }), {
    code: 'input-invalid',
  });
  await assert.rejects(open({ control: 'nowhere', state: folder, ...quiet }), { name: 'Problem' });
  const { state } = await control.joined('stock');
  await assert.rejects(open({ control: at, state: state.path, ...quiet }), { code: 'control-plane-unreachable' });
  await chmod(folder, 0o755);
  await assert.rejects(open({ control: at, state: folder, ...quiet }), { code: 'state-permissions' });
});

test("a service does not run a sidecar's settings", async () => {
  await using control = await startTestControlPlane();
  const { state, proxyId, spiffeId } = await control.joined('stock');
  control.setSettings(proxyId, spiffeId, 1n, { inbound: [inboundTo(originPort, 'permissive', ofStock(Mode.PERMISSIVE))] });
  await assert.rejects(openAgain(control, state), { code: 'state-conflict', message: /role sdk/ });
});
