import assert from 'node:assert/strict';
import { Agent, createServer, request as requestInClear } from 'node:http';
import { Agent as TlsAgent, request as requestOverTls } from 'node:https';
import { type AddressInfo } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Origination, RevokedCertificateSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Side, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { REVOKED_SET_TYPE } from '../../core/messages/type-urls.ts';
import { callInClear, callOverTls, clientOptions, PROBE_TARGET } from '../../../test/support/proxy-lab.ts';
import { calls, endpointIdOf, listening, named, openService, PROBE, serves, tellCaller } from '../../../test/support/sdk-lab.ts';
import { makeTestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';
import { startTestControlPlane, type TestControlPlane } from '../../../test/support/test-control-plane.ts';
import { identityOf } from './identity-of.ts';

/** Two services with the SDK inside: `stock`, served in this mode, and `orders`, who calls it. */
async function openPair(mode: 'observe' | 'permissive' | 'enforce', origination: Origination = Origination.MTLS) {
  const control = await startTestControlPlane();
  const stock = await openService(control, 'stock', { inbound: [serves('stock', mode)] });
  const seen: string[] = [];
  const server = stock.countersign.createServer({ endpoint: 'stock' }, (request, response) => {
    seen.push(request.url!);
    tellCaller(request, response);
  });
  const port = await listening(server);
  const orders = await openService(control, 'orders', { outbound: [calls('stock', [port], { origination })] });
  return {
    control,
    stock,
    orders,
    server,
    port,
    seen,
    get: async (path = '/') => {
      const response = await orders.countersign.fetch(`http://stock${path}`);
      return { status: response.status, caller: (await response.json()) as Record<string, unknown> };
    },
    async [Symbol.asyncDispose]() {
      await orders[Symbol.asyncDispose]();
      await stock[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
    },
  };
}

async function inForce(control: TestControlPlane, change: () => void): Promise<void> {
  const count = () => control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length;
  const before = count();
  change();
  await control.revokedChanged();
  await control.acknowledgement(REVOKED_SET_TYPE, () => count() > before);
}

const suspend = (control: TestControlPlane, name: string): Promise<void> =>
  inForce(control, () => void control.revoked.suspendedSpiffeIds.push(named(name)));

const revoke = (control: TestControlPlane, { certificate }: TestCredential): Promise<void> =>
  inForce(control, () => {
    const issuerKeySha256 = Buffer.from(control.authority.issuing.spkiSha256, 'hex');
    control.revoked.certificates.push(create(RevokedCertificateSchema, { issuerKeySha256, serial: certificate.serial }));
  });

const causedBy =
  (code: string) =>
  (error: Error): boolean =>
    (error.cause as { readonly code?: string }).code === code;

test('a call between two services proves both, and both report it', async () => {
  await using pair = await openPair('enforce');
  const { status, caller } = await pair.get('/v1/items');
  assert.equal(status, 200);
  assert.equal(caller['spiffeId'], named('orders'));
  assert.deepEqual(
    [caller['channel'], caller['endpoint'], caller['mode'], caller['verdict'], caller['reason']],
    ['mtls', 'stock', 'enforce', 'accept', null],
  );
  for (const side of [Side.CALLER, Side.RECEIVER]) {
    const isCall = (found: { side: Side; unit: Unit; outcome: Outcome }): boolean =>
      found.side === side && found.unit === Unit.CALL && found.outcome === Outcome.ACCEPTED;
    const report = await pair.control.report(({ counts }) => counts.some(isCall));
    assert.equal(report.counts.find(isCall)!.caller, named('orders'));
  }
  await pair.control.report(({ served }) => served.some(({ endpointId }) => endpointId === endpointIdOf('stock')));
});

test('in permissive plaintext and anonymous TLS are served at the same port, and the handler is told what enforcement would do', async () => {
  await using pair = await openPair('permissive', Origination.PLAINTEXT);
  const plain = await pair.get();
  assert.deepEqual(
    [plain.caller['spiffeId'], plain.caller['channel'], plain.caller['verdict'], plain.caller['reason']],
    [null, 'plaintext', 'would-refuse', 'plaintext'],
  );
  const anonymous = await callOverTls(pair.port, {});
  assert.match(anonymous.text, /"channel":"tls".*"reason":"no-certificate"/);
  const stranger = await callOverTls(pair.port, clientOptions(pair.control.enrol(named('reports'), pair.orders.proxyId)));
  assert.match(stranger.text, /"spiffeId":"spiffe:[^"]*reports".*"reason":"wrong-identity"/);
  const foreign = makeTestAuthority(pair.control.clock.now(), 'Foreign');
  const stolen = await callOverTls(pair.port, clientOptions(foreign.issue({ uris: [named('orders')] })));
  assert.match(stolen.text, /"spiffeId":null,"channel":"tls".*"reason":"unknown-authority"/, 'what is not proved is no identity');
});

test('https in the URL demands that the path is not in plaintext', async () => {
  await using pair = await openPair('permissive', Origination.PLAINTEXT);
  await assert.rejects(pair.orders.countersign.fetch('https://stock/'), causedBy('state-conflict'));
  await pair.orders.setPorts({ outbound: [calls('stock', [pair.port])] });
  assert.equal((await pair.orders.countersign.fetch('https://stock/')).status, 200);
  assert.deepEqual(pair.seen, ['/']);
});

test('enforced, nobody unproved reaches the handler', async () => {
  await using pair = await openPair('enforce');
  const { port, control, orders } = pair;
  const foreign = makeTestAuthority(control.clock.now(), 'Foreign');
  assert.equal(await callInClear(port), '');
  assert.equal((await callOverTls(port, {})).text, '');
  assert.equal((await callOverTls(port, clientOptions(foreign.issue({ uris: [named('orders')] })))).text, '');
  assert.equal((await callOverTls(port, clientOptions(control.enrol(named('reports'), orders.proxyId)))).text, '');
  const expired = control.enrol(named('orders'), orders.proxyId, { notAfter: control.clock.now() - 1_000 });
  assert.equal((await callOverTls(port, clientOptions(expired))).text, '');
  const server = control.enrol(named('orders'), orders.proxyId, { usages: ['server'] });
  assert.equal((await callOverTls(port, clientOptions(server))).text, '');
  assert.equal(
    (
      await callOverTls(port, {
        ...clientOptions(control.enrol(named('orders'), orders.proxyId)),
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      })
    ).text,
    '',
  );
  assert.deepEqual(pair.seen, []);
  const reasons = new Set<string>();
  const expected = ['expired', 'no-certificate', 'plaintext', 'tls-version', 'unknown-authority', 'wrong-identity', 'wrong-usage'];
  await control.report(({ refusals }) => {
    for (const { reason } of refusals) reasons.add(reason);
    return expected.every((reason) => reasons.has(reason));
  });
});

test('the probe is answered by the SDK, and nothing of it reaches the handler', async () => {
  await using pair = await openPair('enforce');
  const probe = clientOptions(pair.control.enrol(PROBE, pair.orders.proxyId));
  const answer = await callOverTls(pair.port, probe, `GET ${PROBE_TARGET()} HTTP/1.1\r\nHost: stock\r\n\r\n`);
  assert.match(answer.text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*{"generation":"1"}$/);
  assert.equal((await callOverTls(pair.port, probe, 'GET /v1/items HTTP/1.1\r\nHost: stock\r\n\r\n')).text, '');
  assert.deepEqual(pair.seen, []);
});

test('an identity that is suspended while its connection is open is refused on its next request, and its connection closed', async () => {
  await using pair = await openPair('enforce');
  const agent = new TlsAgent({
    keepAlive: true,
    maxSockets: 1,
    rejectUnauthorized: false,
    ...clientOptions(pair.control.enrol(named('orders'), pair.orders.proxyId)),
  });
  const call = (): Promise<number | string> =>
    new Promise((resolve) => {
      const request = requestOverTls({ host: '127.0.0.1', port: pair.port, agent }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode!));
      });
      request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code!)).end();
    });
  assert.equal(await call(), 200);
  await suspend(pair.control, 'orders');
  assert.notEqual(await call(), 200);
  assert.equal(pair.seen.length, 1);
  agent.destroy();
});

test('a resumed session of a revoked certificate is refused, and another certificate of the identity is not', async () => {
  await using pair = await openPair('enforce');
  const { control, port, orders } = pair;
  const credential = control.enrol(named('orders'), orders.proxyId);
  const options = clientOptions(credential);
  const first = await callOverTls(port, options);
  assert.match(first.text, /^HTTP\/1\.1 200 /);
  const again = await callOverTls(port, { ...options, session: first.session! });
  assert.ok(again.resumed, 'sessions resume at all');
  await revoke(control, credential);
  const refused = await callOverTls(port, { ...options, session: again.session ?? first.session! });
  assert.deepEqual([refused.text, refused.resumed], ['', true]);
  assert.equal((await callOverTls(port, options)).text, '', 'nor does a full handshake');
  await control.report(({ refusals }) => refusals.some(({ reason, resumed }) => reason === 'revoked' && resumed));
  assert.equal((await pair.get()).status, 200);
  assert.equal(pair.seen.length, 3);
});

test('a request that is already on its way when the identity is suspended does not make the next one pass', async () => {
  await using pair = await openPair('enforce');
  const held = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  pair.server.removeAllListeners('request');
  pair.server.on('request', (request, response) => {
    pair.seen.push(request.url!);
    began.resolve();
    void held.promise.then(() => response.end('late'));
  });
  const socket = connectTls({
    host: '127.0.0.1',
    port: pair.port,
    rejectUnauthorized: false,
    ...clientOptions(pair.control.enrol(named('orders'), pair.orders.proxyId)),
  });
  let text = '';
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1'))).on('error', () => {});
  socket.write('GET /1 HTTP/1.1\r\nHost: stock\r\n\r\n');
  await began.promise;
  await suspend(pair.control, 'orders');
  socket.write('GET /2 HTTP/1.1\r\nHost: stock\r\n\r\n');
  held.resolve();
  await closed;
  assert.ok(text.split('late').length <= 2, 'one answer at most');
  assert.deepEqual(pair.seen, ['/1']);
});

test('a listener that is added by hand sees no refused call either', async () => {
  await using pair = await openPair('permissive', Origination.PLAINTEXT);
  const upgrades: string[] = [];
  pair.server.on('upgrade', (request, stream) => {
    upgrades.push(identityOf(request).channel);
    stream.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
  });
  const upgrade = 'GET /ws HTTP/1.1\r\nHost: stock\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n';
  assert.match(await callInClear(pair.port, upgrade), /^HTTP\/1\.1 101/);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const call = (): Promise<number | string> =>
    new Promise((resolve) => {
      const request = requestInClear({ host: '127.0.0.1', port: pair.port, agent }, (response) =>
        response.resume().on('end', () => resolve(response.statusCode!)),
      );
      request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code!)).end();
    });
  assert.equal(await call(), 200);
  await pair.stock.setPorts({ inbound: [serves('stock', 'enforce', { drainMs: 1 })] });
  assert.equal(await callInClear(pair.port, upgrade), '');
  assert.notEqual(await call(), 200);
  assert.deepEqual(upgrades, ['plaintext']);
  agent.destroy();
});

const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: stock\r\n${more}\r\n`;

test('a route that names another caller is refused by the service itself, and the connection goes on', async () => {
  await using pair = await openPair('enforce');
  assert.equal((await pair.get('/admin')).status, 200);
  const routes = [{ path: '/admin/**', callerSpiffeIds: [named('reports')] }];
  await pair.stock.setPorts({ inbound: [serves('stock', 'enforce', { routes })] });
  const options = clientOptions(pair.control.enrol(named('orders'), pair.orders.proxyId));
  const evasions = ['/admin', '/%61dmin', '/ADMIN/x', '//admin', '/x/../admin', '/admin;x', 'http://stock/admin'];
  const { text } = await callOverTls(
    pair.port,
    options,
    `${evasions.map((target) => get(target)).join('')}${get('/open', 'Connection: close\r\n')}`,
  );
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  assert.deepEqual(statuses, [...evasions.map(() => '403'), '200']);
  assert.deepEqual(pair.seen, ['/admin', '/open']);
  await pair.stock.setPorts({ inbound: [serves('stock', 'permissive', { routes })] });
  const { status, caller } = await pair.get('/admin');
  assert.deepEqual([status, caller['verdict'], caller['reason'], caller['spiffeId']], [200, 'would-refuse', 'route', named('orders')]);
});

test('answers carry the fields of the policy on TLS only, refusals included, and a call for another host is refused', async () => {
  await using pair = await openPair('permissive', Origination.PLAINTEXT);
  const answerFields = [{ name: 'strict-transport-security', value: 'max-age=60' }];
  await pair.stock.setPorts({ inbound: [serves('stock', 'permissive', { answerFields })] });
  assert.doesNotMatch(await callInClear(pair.port), /strict-transport/i);
  await pair.stock.setPorts({ inbound: [serves('stock', 'enforce', { answerFields, hostMatchesSni: true })] });
  const options = { ...clientOptions(pair.control.enrol(named('orders'), pair.orders.proxyId)), servername: 'stock' };
  const good = await callOverTls(pair.port, options, get('/', 'Connection: close\r\n'));
  assert.match(good.text, /^HTTP\/1\.1 200 [\s\S]*strict-transport-security: max-age=60\r\n/);
  const other = await callOverTls(pair.port, { ...options, servername: 'other' }, get('/', 'Connection: close\r\n'));
  assert.match(other.text, /^HTTP\/1\.1 421 [\s\S]*strict-transport-security: max-age=60\r\n/);
});

test('identityOf() takes nothing for a caller that no server of ours handed out', async () => {
  assert.throws(() => identityOf({}), TypeError);
  assert.throws(() => identityOf({ socket: {}, headers: { 'x-forwarded-client-cert': `URI=${named('orders')}` } }), TypeError);
});

test('an endpoint that leaves the settings is served to nobody', async () => {
  await using pair = await openPair('permissive', Origination.PLAINTEXT);
  assert.match(await callInClear(pair.port), /^HTTP\/1\.1 200/);
  await pair.stock.setPorts({});
  assert.equal(await callInClear(pair.port), '');
  assert.throws(() => pair.stock.countersign.createServer({ endpoint: 'stock' }), { code: 'not-found' });
  assert.equal(pair.seen.length, 1);
});

test('a service serves and calls what is declared, by the protocol that is declared', async () => {
  await using pair = await openPair('enforce');
  assert.throws(() => pair.stock.countersign.createServer({ endpoint: 'orders' }), { code: 'not-found' });
  await assert.rejects(pair.orders.countersign.fetch('http://reports/'), causedBy('not-found'));
  await assert.rejects(pair.orders.countersign.connect('reports'), { code: 'not-found' });
  await assert.rejects(pair.stock.countersign.fetch('http://stock/'), causedBy('not-found'));
});

test('a server that is somebody else, of another authority, or speaks no TLS gets no octet of a call', async () => {
  await using pair = await openPair('enforce');
  const { control, orders } = pair;
  const reasonOf = async (more: Parameters<typeof calls>[2], port = pair.port): Promise<string> => {
    await orders.setPorts({ outbound: [calls('stock', [port], more)] });
    const failure = await orders.countersign.fetch('http://stock/').then(
      () => null,
      (error: { cause: { reason: string } }) => error.cause.reason,
    );
    return failure ?? 'answered';
  };
  assert.equal(await reasonOf({ serverSpiffeId: named('payments') }), 'wrong-identity');
  const plain = createServer((_request, response) => void response.end('plain'));
  const plainPort = await listening(plain);
  assert.equal(await reasonOf({}, plainPort), 'tls-version');
  plain.close();
  assert.equal(await reasonOf({}, (plain.address() as AddressInfo | null)?.port ?? plainPort), 'upstream-unreachable');
  await suspend(control, 'stock');
  assert.equal(await reasonOf({}), 'suspended');
  assert.deepEqual(pair.seen, []);
});
