import assert from 'node:assert/strict';
import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { RouteSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { callUnary, GRPC, openGrpcPair } from '../../../test/support/grpc-lab.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  modes,
  type Origin,
  ProxyLab,
  STOREFRONT,
} from '../../../test/support/proxy-lab.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';

const BATCH = parseSpiffeId('spiffe://acme.example/test/batch');
type Routes = readonly MessageInitShape<typeof RouteSchema>[];
const ROUTES: Routes = [
  { path: '/admin/**', callerSpiffeIds: [BATCH] },
  { path: '/v1/*/refunds', methods: ['POST'], callerSans: ['dns:refunds.acme.example'] },
  { path: '/open', callerSpiffeIds: [STOREFRONT] },
  { path: '/closed/**' },
  { path: '/**', host: 'internal.acme.example', callerSpiffeIds: [BATCH] },
];

const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: orders\r\n\r\n`;

type Lab = { readonly lab: ProxyLab; readonly origin: Origin; readonly port: number; readonly shop: ConnectionOptions };

async function openLab(mode: keyof typeof modes, routes: Routes = ROUTES): Promise<Lab> {
  const lab = new ProxyLab();
  const origin = await lab.origin();
  const callers = [STOREFRONT, BATCH].map((spiffeId) => ({ pathId: 'path_a', spiffeId, mode: modes[mode] }));
  assert.deepEqual(await lab.apply({ inbound: [inboundTo(origin.port, mode, { routes: [...routes], callers })] }), { kind: 'accepted' });
  return { lab, origin, port: lab.portOf(0), shop: clientOptions(lab.authority.issue({ uris: [STOREFRONT] })) };
}

const start = (method: string, target: string, more = ''): string =>
  `${method} ${target} HTTP/1.1\r\nHost: orders\r\n${more}Connection: close\r\n\r\n`;

async function statusOf({ port, shop }: Pick<Lab, 'port' | 'shop'>, request: string): Promise<number> {
  return Number(/^HTTP\/1\.1 (\d+)/.exec((await callOverTls(port, shop, request)).text)?.[1]);
}

async function http2StatusOf({ lab, port, shop }: Lab, headers: OutgoingHttpHeaders): Promise<number | undefined> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...shop });
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  const stream = session.request({ ':authority': 'orders', ...headers });
  const answered = Promise.withResolvers<number | undefined>();
  stream.on('response', ({ ':status': status }) => answered.resolve(status));
  stream.on('error', () => {});
  stream.on('close', () => answered.resolve(undefined));
  stream.resume();
  const status = await answered.promise;
  session.close();
  return status;
}

test('a route is for the callers that it names, by SPIFFE ID or by a name of their certificate', async () => {
  const opened = await openLab('enforce');
  await using lab = opened.lab;
  assert.deepEqual([await statusOf(opened, start('GET', '/open')), await statusOf(opened, start('GET', '/elsewhere'))], [200, 200]);
  const batch = clientOptions(lab.authority.issue({ uris: [BATCH] }));
  assert.equal(await statusOf({ ...opened, shop: batch }, start('DELETE', '/admin/users')), 200);
  const named = clientOptions(lab.authority.issue({ uris: [STOREFRONT], dnsNames: ['Refunds.acme.example'] }));
  assert.equal(await statusOf({ ...opened, shop: named }, start('POST', '/v1/7/refunds')), 200);
  assert.equal(await statusOf(opened, start('GET', '/v1/7/refunds')), 200, 'no route has this method');
  assert.equal(await http2StatusOf(opened, { ':path': '/open' }), 200);
});

const refused: readonly (readonly [string, string, string, string?])[] = [
  ['a subtree of another caller', 'GET', '/admin/users'],
  ['its root', 'GET', '/admin'],
  ['its root with a slash', 'GET', '/admin/'],
  ['a path with an escaped letter', 'GET', '/%61dmin/users'],
  ['another case', 'GET', '/ADMIN/users'],
  ['a dot segment', 'GET', '/open/../admin/users'],
  ['an escaped dot segment', 'GET', '/open/%2e%2e/admin/users'],
  ['a double slash', 'GET', '//admin/users'],
  ['an escaped slash', 'GET', '/admin%2Fusers'],
  ['a path parameter', 'GET', '/admin;x=y/users'],
  ['a backslash', 'GET', '/open\\..\\admin'],
  ['a method of which the caller has no name', 'POST', '/v1/7/refunds'],
  ['a route that nobody may call', 'GET', '/closed/x'],
  ['a method in a field of its own', 'GET', '/v1/7/refunds', 'X-HTTP-Method-Override: POST\r\n'],
  ['the same with underscores', 'GET', '/v1/7/refunds', 'x_http_method_override: POST\r\n'],
  ['a path in a field of its own', 'GET', '/open', 'X-Original-URL: /admin/users\r\n'],
];

for (const [name, method, target, more = ''] of refused) {
  test(`enforce refuses ${name} with 403 over HTTP/1.1 and HTTP/2, and the service sees nothing`, async () => {
    const opened = await openLab('enforce');
    await using lab = opened.lab;
    assert.equal(await statusOf(opened, start(method, target, more)), 403);
    const [field, value] = more.trim().split(': ');
    const headers = { ':method': method, ':path': target, ...(value === undefined ? {} : { [field!.toLowerCase()]: value }) };
    assert.equal(await http2StatusOf(opened, headers), 403);
    assert.equal(opened.origin.requests.length, 0);
    assert.deepEqual(
      lab.refusals().map(({ reason, caller }) => [reason, caller]),
      [
        ['route', STOREFRONT],
        ['route', STOREFRONT],
      ],
    );
  });
}

test('a route of a host is of that host with any port, and :authority counts as the host', async () => {
  const opened = await openLab('enforce');
  await using _ = opened.lab;
  for (const host of ['internal.acme.example', 'INTERNAL.acme.example:8443', 'internal.acme.example.']) {
    assert.equal(await statusOf(opened, `GET /x HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`), 403, host);
    assert.equal(await http2StatusOf(opened, { ':authority': host, ':path': '/x' }), 403, host);
  }
  assert.equal(await statusOf(opened, 'GET /x HTTP/1.1\r\nHost: other.acme.example\r\nConnection: close\r\n\r\n'), 200);
});

for (const mode of ['observe', 'permissive'] as const) {
  test(`${mode} serves what enforce would refuse by its route, counts it, and the service is told who called`, async () => {
    const opened = await openLab(mode);
    await using lab = opened.lab;
    assert.equal(await statusOf(opened, start('GET', '/admin/users')), 200);
    assert.match(JSON.stringify(opened.origin.requests[0]!.rawHeaders), /URI=spiffe:\/\/acme\.example\/test\/storefront/);
    // Who proves nothing is counted for that.
    await callInClear(opened.port, start('GET', '/admin/users'));
    const calls = lab.proxy.takeReport().counts!.filter(({ unit }) => unit === Unit.CALL);
    assert.deepEqual(calls.map(({ outcome, reason, caller }) => [outcome, reason, caller]).toSorted(), [
      [Outcome.WOULD_REFUSE, 'plaintext', ''],
      [Outcome.WOULD_REFUSE, 'route', STOREFRONT],
    ]);
  });
}

test('a connection goes on after a refused call, pipelined ones included, and ends where a body would follow', async () => {
  const { lab, origin, port, shop } = await openLab('enforce');
  await using _ = lab;
  const body = 'POST /closed/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 5\r\n\r\nhello';
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...shop });
  socket.write(`${get('/admin')}${get('/open')}${get('/admin')}${get('/admin')}${get('/elsewhere')}${body}${get('/open')}`);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1'))).on('error', () => {});
  await new Promise((resolve) => socket.on('close', resolve));
  assert.deepEqual(
    [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ['403', '200', '403', '403', '200', '403'],
  );
  assert.deepEqual(
    origin.requests.map(({ url }) => url),
    ['/open', '/elsewhere'],
  );
});

test('a change of routes holds for the next call of an open connection', async () => {
  const { lab, origin, port, shop } = await openLab('enforce', []);
  await using _ = lab;
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...shop });
  lab.onClose(() => session.destroy());
  const call = (): Promise<number | undefined> =>
    new Promise((resolve) => {
      const stream = session.request({ ':path': '/admin', ':authority': 'orders' });
      stream.on('response', ({ ':status': status }) => resolve(status)).resume();
    });
  assert.equal(await call(), 200);
  const callers = [{ pathId: 'path_a', spiffeId: STOREFRONT, mode: modes.enforce }];
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce', { routes: [...ROUTES], callers })] });
  assert.equal(await call(), 403);
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce', { callers })] });
  assert.equal(await call(), 200);
  assert.equal(session.closed, false);
});

test('a call of gRPC is refused by its service and method with PERMISSION_DENIED, and its connection goes on', async () => {
  await using pair = await openGrpcPair();
  assert.equal((await callUnary(pair.client, 'hello')).error, null);
  const apply = (path: string) =>
    pair.receiver.apply({ inbound: [inboundTo(pair.servicePort, 'enforce', { ...GRPC, routes: [{ path, callerSpiffeIds: [BATCH] }] })] });
  await apply('/*/Unary');
  assert.equal((await callUnary(pair.client, 'hello')).error?.code, 7);
  await apply('/*/Collect');
  assert.equal((await callUnary(pair.client, 'hello')).error, null);
});
