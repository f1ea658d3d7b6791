import assert from 'node:assert/strict';
import { connect as connectHttp2, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import type { ConnectionOptions } from 'node:tls';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { InboundSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  modes,
  Origin,
  ProxyLab,
  requestText,
  STOREFRONT,
} from '../../../test/support/proxy-lab.ts';

type Lab = { readonly lab: ProxyLab; readonly origin: Origin; readonly port: number; readonly shop: ConnectionOptions };

async function openLab(
  mode: keyof typeof modes,
  more: MessageInitShape<typeof InboundSchema>,
  answer?: ConstructorParameters<typeof Origin>[0],
): Promise<Lab> {
  const lab = new ProxyLab();
  const origin = await lab.origin(answer);
  assert.deepEqual(await lab.apply({ inbound: [inboundTo(origin.port, mode, more)] }), { kind: 'accepted' });
  return { lab, origin, port: lab.portOf(0), shop: clientOptions(lab.authority.issue({ uris: [STOREFRONT] })) };
}

function http2Answer({ lab, port, shop }: Lab, headers: OutgoingHttpHeaders, servername?: string): Promise<IncomingHttpHeaders> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, {
    rejectUnauthorized: false,
    ...shop,
    ...(servername === undefined ? {} : { servername }),
  });
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/', ...headers });
    stream.on('response', resolve).on('error', reject).resume();
  });
}

const get = (host: string): string => `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
const statusOf = (text: string): number => Number(text.slice(9, 12));

test('a call for another host than the server name of its connection is refused with 421', async () => {
  const opened = await openLab('enforce', { hostMatchesSni: true });
  await using lab = opened.lab;
  const { port, shop, origin } = opened;
  const call = async (servername: string | undefined, host: string): Promise<number> =>
    statusOf((await callOverTls(port, { ...shop, ...(servername === undefined ? {} : { servername }) }, get(host))).text);
  for (const host of ['a.example', 'A.EXAMPLE', 'a.example:8443', 'a.example.']) assert.equal(await call('a.example', host), 200, host);
  assert.equal(await call(undefined, 'anything.example'), 200, 'who dialled an address named no server');
  const served = origin.requests.length;
  for (const host of ['b.example', 'sub.a.example', 'a.example.b.example', '127.0.0.1', '[::1]', 'a.example:x@b']) {
    assert.ok([400, 421].includes(await call('a.example', host)), host);
  }
  assert.equal(await call('A.example', 'b.example'), 421);
  assert.equal((await http2Answer(opened, { ':authority': 'a.example' }, 'a.example'))[':status'], 200);
  assert.equal((await http2Answer(opened, { ':authority': 'b.example' }, 'a.example'))[':status'], 421);
  assert.equal((await http2Answer(opened, { ':authority': 'b.example', host: 'a.example' }, 'a.example'))[':status'], 421);
  assert.equal(origin.requests.length, served + 1);
  assert.ok(lab.refusals().every(({ reason }) => reason === 'host-mismatch' || reason === 'request-malformed'));
});

test('in permissive such a call is served, and counted; without the policy nobody looks', async () => {
  const opened = await openLab('permissive', { hostMatchesSni: true });
  await using lab = opened.lab;
  const seen = async (): Promise<unknown> => {
    assert.equal(statusOf((await callOverTls(opened.port, { ...opened.shop, servername: 'a.example' }, get('b.example'))).text), 200);
    const calls = lab.proxy.takeReport().counts!.filter(({ unit }) => unit === Unit.CALL);
    return calls.map(({ outcome, reason }) => [outcome, reason]);
  };
  assert.deepEqual(await seen(), [[Outcome.WOULD_REFUSE, 'host-mismatch']]);
  await lab.apply({ inbound: [inboundTo(opened.origin.port, 'enforce')] });
  assert.deepEqual(await seen(), [[Outcome.ACCEPTED, '']]);
});

const FIELDS = [
  { name: 'strict-transport-security', value: 'max-age=31536000; includeSubDomains' },
  { name: 'x-content-type-options', value: 'nosniff' },
];
const HSTS = /^strict-transport-security: ([^\r]*)\r$/gim;

test('answers on TLS carry the fields of the policy once, in the place of what the service sent', async () => {
  const opened = await openLab('enforce', { answerFields: FIELDS }, (request, response) => {
    request.resume();
    response.setHeader('STRICT-Transport-Security', ['max-age=1', 'max-age=2']).setHeader('X-Other', '1').end('body');
  });
  await using _ = opened.lab;
  const { text } = await callOverTls(opened.port, opened.shop);
  assert.deepEqual(
    [...text.matchAll(HSTS)].map(([, value]) => value),
    ['max-age=31536000; includeSubDomains'],
  );
  assert.match(text, /^x-content-type-options: nosniff\r$/im);
  assert.match(text, /^X-Other: 1\r$/m);
  assert.match(text, /body$/);
  const headers = await http2Answer(opened, { ':authority': 'orders' });
  assert.deepEqual(
    [headers['strict-transport-security'], headers['x-content-type-options'], headers['x-other']],
    [FIELDS[0]!.value, 'nosniff', '1'],
  );
});

test('the answers of the proxy itself carry them, too: refusals, what is no request, and a service that is away', async () => {
  const opened = await openLab('enforce', { answerFields: FIELDS, routes: [{ path: '/admin' }] });
  await using _ = opened.lab;
  const { port, shop } = opened;
  for (const [request, status] of [
    [requestText('/admin'), 403],
    ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ] as const) {
    const { text } = await callOverTls(port, shop, request);
    assert.deepEqual([statusOf(text), text.match(HSTS)?.length], [status, 1]);
  }
  assert.equal((await http2Answer(opened, { ':authority': 'orders', ':path': '/admin' }))['strict-transport-security'], FIELDS[0]!.value);
  opened.origin.close();
  const { text } = await callOverTls(port, shop);
  assert.ok(statusOf(text) >= 500);
  assert.equal(text.match(HSTS)?.length, 1);
});

test('answers in the clear carry none of them, and no promise of TLS of the service either', async () => {
  const { lab, port } = await openLab('permissive', { answerFields: FIELDS }, (request, response) => {
    request.resume();
    response.setHeader('Strict-Transport-Security', 'max-age=1').setHeader('X-Content-Type-Options', 'own').end();
  });
  await using _ = lab;
  const text = await callInClear(port);
  assert.equal(statusOf(text), 200);
  assert.doesNotMatch(text, /strict-transport/i);
  assert.match(text, /^X-Content-Type-Options: own\r$/m);
  assert.doesNotMatch(await callInClear(port, 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'), /strict-transport|nosniff/i);
});

test('who calls too often is answered with 429 over HTTP/1.1 and HTTP/2, is told when to come again, and keeps its connection', async () => {
  const opened = await openLab('enforce', { callerRate: { perSecond: 1, burst: 2 } });
  await using lab = opened.lab;
  const requests = 'GET / HTTP/1.1\r\nHost: orders\r\n\r\n'.repeat(5) + requestText();
  const { text } = await callOverTls(opened.port, opened.shop, requests);
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  assert.deepEqual([statuses.length, statuses.slice(0, 3)], [6, ['200', '200', '429']]);
  assert.match(text, /429 Too Many Requests\r\nRetry-After: 1\r\n/);
  const answers = await Promise.all(Array.from({ length: 8 }, () => http2Answer(opened, { ':authority': 'orders' })));
  const late = answers.filter((answer) => Number(answer[':status']) === 429);
  assert.ok(late.length > 0 && late.every((answer) => answer['retry-after'] === '1'));
  assert.ok(lab.refusals().every(({ reason }) => reason === 'limit-exceeded'));
});

const IDENTITY = ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert'];
const forged = 'Client-Cert: :AAAA:\r\nclient_cert_chain: :AAAA:\r\nX-Forwarded-Client-Cert: URI=spiffe://acme.example/test/admin\r\n';

for (const omitted of [[], ['x-forwarded-client-cert'], ['client-cert', 'client-cert-chain'], IDENTITY]) {
  test(`the service gets the identity fields but for ${omitted.join(' and ') || 'none'}, and no copy that came with the call`, async () => {
    const opened = await openLab('enforce', { omittedIdentityFields: omitted });
    await using lab = opened.lab;
    await callOverTls(opened.port, opened.shop, requestText('/', forged));
    await http2Answer(opened, { ':authority': 'orders', 'client-cert': ':AAAA:', 'x-forwarded-client-cert': 'URI=x' });
    for (const { rawHeaders } of opened.origin.requests) {
      const names = rawHeaders.filter((_text, at) => at % 2 === 0).map((name) => name.toLowerCase().replaceAll('_', '-'));
      assert.deepEqual(
        names.filter((name) => IDENTITY.includes(name)).toSorted(),
        IDENTITY.filter((name) => !omitted.includes(name)),
      );
      assert.doesNotMatch(rawHeaders.join('\n'), /AAAA:|admin/);
    }
    assert.equal(opened.origin.requests.length, 2);
    assert.equal(lab.refusals().length, 0);
  });
}

for (const mode of ['observe', 'permissive'] as const) {
  test(`in ${mode} copies that arrive in the clear are stripped, too`, async () => {
    const { lab, port, origin } = await openLab(mode, {});
    await using _ = lab;
    await callInClear(port, requestText('/', forged));
    assert.doesNotMatch(origin.requests[0]!.rawHeaders.join('\n'), /client.cert/i);
  });
}

test('Client-Cert is a byte sequence of RFC 8941 that holds the certificate itself', async () => {
  const { lab, port, origin } = await openLab('enforce', {});
  await using _ = lab;
  const credential = lab.authority.issue({ uris: [STOREFRONT] });
  await callOverTls(port, clientOptions(credential));
  const { rawHeaders } = origin.requests[0]!;
  const value = (name: string): string => rawHeaders[rawHeaders.findIndex((text) => text.toLowerCase() === name) + 1]!;
  assert.equal(value('client-cert'), `:${Buffer.from(credential.certificate.der).toString('base64')}:`);
  assert.equal(value('client-cert-chain'), `:${Buffer.from(lab.authority.issuing.der).toString('base64')}:`);
});
