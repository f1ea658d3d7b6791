import { create } from '@bufbuild/protobuf';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { after, before, beforeEach, describe, it } from 'node:test';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  loopback,
  PROBE,
  STOREFRONT,
  STRANGER,
  tcpOrigin,
  TRUST_DOMAIN,
} from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { Mode, Protocol, ProxySettingsSchema } from '../messages/generated/countersign/v1/settings_pb.ts';

import { objectionsOf } from './objections.ts';

const PARTNER = 'partner.example';
const SHOP = parseSpiffeId(`spiffe://${PARTNER}/shop`);
const EVIL = `spiffe://${PARTNER}/evil`;
const partner = makeTestAuthority(Date.now(), 'Partner');
const forger = makeTestAuthority(Date.now(), 'Test');
const OK = /^HTTP\/1\.1 200 /;

const callersOf = (names: readonly (typeof SHOP)[], mode: Mode = Mode.ENFORCE) =>
  names.map((spiffeId, index) => ({ pathId: `path_${index}`, spiffeId, mode }));
const settings = (protocol: Protocol, names: readonly (typeof SHOP)[]) =>
  create(ProxySettingsSchema, {
    trustDomain: TRUST_DOMAIN,
    inbound: [
      inboundTo(1, 'enforce', {
        protocol,
        callers: callersOf(names),
      }),
    ],
  });

describe('hostile callers on Envoy', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start(['--drain-time-s', '1', '--drain-strategy', 'immediate']);
    bench.federated = [bench.lab.foreignBundle(PARTNER, partner)];
  });
  after(() => bench[Symbol.asyncDispose]());
  beforeEach(() => bench.revoked.clear());

  const apply = (mode: 'observe' | 'enforce', more: object = {}, port = bench.origin.port): Promise<void> =>
    bench.apply({ inbound: [inboundTo(port, mode, { listen: loopback(bench.port), ...more })] });
  const call = (credential: Parameters<typeof clientOptions>[0], request?: string) =>
    callOverTls(bench.port, clientOptions(credential), request);

  describe('federation', () => {
    const both = [STOREFRONT, SHOP];
    for (const [name, uris] of Object.entries({
      'foreign first': [EVIL, STOREFRONT],
      'allowed foreign first': [SHOP, STOREFRONT],
      'prober last': [SHOP, PROBE],
      'own first': [STOREFRONT, SHOP],
      injected: [`${SHOP};URI=${STOREFRONT}`],
      'injected beside': [SHOP, `${EVIL};URI=${STOREFRONT}`],
    })) {
      it(`two names of a foreign authority: ${name}`, async () => {
        await apply('enforce', { callers: callersOf(both), routes: [{ path: '/own/**', callerSpiffeIds: [STOREFRONT] }] });
        const got = await call(partner.issue({ uris }), 'GET /own/x HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n');
        assert.doesNotMatch(got.text, /^HTTP\/1\.1 200/, got.text);
      });
      it(`two names, open door: ${name}`, async () => {
        await apply('observe', { callers: callersOf(both, Mode.OBSERVE) });
        const got = await call(partner.issue({ uris }));
        assert.doesNotMatch(got.text, /URI=spiffe:\/\/acme/i, got.text);
        assert.doesNotMatch(got.text, /URI=/i, got.text);
      });
      it(`two names, strangers let in: ${name}`, async () => {
        await apply('enforce', { callers: callersOf(both, Mode.OBSERVE), strangerMode: Mode.OBSERVE });
        const got = await call(partner.issue({ uris }));
        assert.doesNotMatch(got.text, /URI=/i, got.text);
      });
    }
    it('an open door lets anonymous, forged and foreign callers in', async () => {
      await apply('observe', { callers: callersOf(both, Mode.OBSERVE) });
      assert.match(await callInClear(bench.port), OK);
      const anonymous = await callOverTls(bench.port, {});
      assert.match(anonymous.text, OK, 'anonymous');
      assert.match((await call(forger.issue({ uris: [STOREFRONT] }))).text, OK, 'forged');
      const good = await call(partner.issue({ uris: [SHOP] }));
      assert.match(good.text, OK);
      assert.doesNotMatch(good.text, /URI=/i);
      assert.match((await call(bench.lab.authority.issue({ uris: [STOREFRONT] }))).text, /URI=/i);
      assert.doesNotMatch((await call(forger.issue({ uris: [STOREFRONT] }))).text, /URI=/i);
      assert.doesNotMatch((await call(forger.issue({ uris: [SHOP] }))).text, /URI=/i);
    });
    it('may not come to streams, of which no rules of calls keep the revoked away', () => {
      assert.match(objectionsOf(settings(Protocol.TCP, both)).join(), /orders: callers of another trust domain on tcp/);
      assert.deepEqual([objectionsOf(settings(Protocol.HTTP, both)), objectionsOf(settings(Protocol.TCP, [STOREFRONT]))], [[], []]);
    });
  });

  for (const kind of ['suspended', 'removed', 'revoked'] as const)
    it(`a stream is not resumed nor stays open: ${kind}`, async () => {
      const { port } = await tcpOrigin(bench.lab, (socket) => socket.pipe(socket));
      const tcp = { protocol: Protocol.TCP };
      await apply('enforce', { callers: callersOf([STOREFRONT, STRANGER]), ...tcp }, port);
      const gone = bench.lab.authority.issue({ uris: [STRANGER] });
      const open: TLSSocket = connectTls({ host: '127.0.0.1', port: bench.port, rejectUnauthorized: false, ...clientOptions(gone) });
      let session: Buffer | null = null;
      open.on('session', (ticket: Buffer) => (session = ticket));
      open.on('error', () => {});
      open.write('hello');
      await once(open, 'data');
      assert.ok(session);
      if (kind === 'suspended') bench.revoked.suspended.push(STRANGER);
      if (kind === 'revoked') bench.revoked.credentials.push(gone);
      const closed = once(open, 'close', { signal: AbortSignal.timeout(5_000) });
      open.on('end', () => open.end());
      await apply('enforce', { callers: callersOf(kind === 'removed' ? [STOREFRONT] : [STOREFRONT, STRANGER]), ...tcp }, port);
      const again = await callOverTls(bench.port, { ...clientOptions(gone), session });
      assert.deepEqual([again.text, again.resumed], ['', false]);
      await closed;
    });

  it('observe: a forged SVID proves nothing, whatever the routes', async () => {
    await apply('observe', { callers: callersOf([STOREFRONT]), routes: [{ path: '/v1/**', callerSpiffeIds: [STOREFRONT] }] });
    for (const uris of [[STOREFRONT], [PROBE], [STRANGER, STOREFRONT]]) {
      const got = await call(
        forger.issue({ uris }),
        'GET /.well-known/countersign/probe HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n',
      );
      assert.match(got.text, OK);
      assert.doesNotMatch(got.text, /URI=|^\{\}/m);
    }
  });

  it('no field that could pass for an identity comes through', async () => {
    for (const mode of ['observe', 'enforce'] as const) {
      await apply(mode);
      const lies = [
        'X_Forwarded_Client_Cert',
        'Client_Cert',
        'client-cert',
        'CLIENT-CERT-CHAIN',
        'X-FORWARDED_Client-Cert',
        'x-forwarded-client-cert',
        'X-Countersign-Peer-Serial',
      ];
      const request = `GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n${lies.map((name) => `${name}: LIE\r\n${name}: LIE2\r\n`).join('')}\r\n`;
      const texts = [(await call(bench.lab.authority.issue({ uris: [STOREFRONT] }), request)).text];
      if (mode === 'observe') texts.push(await callInClear(bench.port, request), (await callOverTls(bench.port, {}, request)).text);
      for (const text of texts) {
        assert.doesNotMatch(text, /LIE/, `${mode} ${text}`);
      }
    }
  });

  for (const host of [
    'admin.example:',
    'user@admin.example',
    'admin.example:+80',
    'admin.example..',
    'admin.example:80:80',
    '%61dmin.example',
    'admin.example,x',
    'x, admin.example',
    'admin.example/x',
    'admin.example?x',
    'admin.example#x',
    'admin.example:x',
  ])
    it(`host ${host} does not evade the rule of a host`, async () => {
      await apply('enforce', {
        callers: callersOf([STOREFRONT, STRANGER]),
        routes: [
          { host: 'admin.example', path: '/**', callerSpiffeIds: [STRANGER] },
          { path: '/**', callerSpiffeIds: [STOREFRONT] },
        ],
      });
      const credential = bench.lab.authority.issue({ uris: [STOREFRONT] });
      const got = await call(credential, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      assert.doesNotMatch(got.text, OK, got.text);
    });

  it('hosts in other forms', async () => {
    await apply('enforce', {
      callers: callersOf([STOREFRONT, STRANGER]),
      routes: [
        { host: 'admin.example', path: '/**', callerSpiffeIds: [STRANGER] },
        { path: '/**', callerSpiffeIds: [STOREFRONT] },
      ],
    });
    const credential = bench.lab.authority.issue({ uris: [STOREFRONT] });
    for (const head of [
      'GET http://admin.example/ HTTP/1.1\r\nHost: orders',
      'GET / HTTP/1.1\r\nHost: orders\r\nHost: admin.example',
      'GET / HTTP/1.1\r\nHost: admin.example\r\nHost: orders',
      'GET / HTTP/1.1\r\nHost: orders\r\nX-HTTP-Host-Override: a',
      'GET http://orders/ HTTP/1.1\r\nHost: admin.example',
      'GET http://x@admin.example/ HTTP/1.1\r\nHost: orders',
      'GET http://admin.example:/ HTTP/1.1\r\nHost: orders',
    ]) {
      const got = await call(credential, `${head}\r\nConnection: close\r\n\r\n`);
      if (got.text.startsWith('HTTP/1.1 200')) assert.doesNotMatch(got.text, /host.{0,9}admin/i, got.text);
    }
  });
});
