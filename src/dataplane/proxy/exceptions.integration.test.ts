import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { describe, test } from 'node:test';
import { Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { makeDrillRequest } from '../scanner/drill-request.ts';
import {
  countsOf,
  exceptedPort,
  get,
  last,
  openExceptionLab,
  PROBES,
  SCRAPES,
  urls,
  type Wire,
} from '../../../test/support/exception-lab.ts';
import { callInClear, callOverTls, clientOptions, ProxyLab, STOREFRONT, STRANGER, tcpOrigin } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';

const from = (host: string): string => `PROXY TCP4 ${host} 127.0.0.1 4000 80\r\n`;

describe('an exception lets in', () => {
  test('its calls in the clear and over TLS without a certificate, and counts them under its name', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    assert.match(await callInClear(port, last('/healthz')), /^HTTP\/1\.1 200 /);
    assert.match((await callOverTls(port, {}, last('/metrics?name=up'))).text, /^HTTP\/1\.1 200 /);
    assert.match(await callInClear(port, 'HEAD /ready/db HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 /);
    const legacy = 'POST /legacy/orders HTTP/1.1\r\nHost: old.acme.example:8080\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello';
    assert.match(await callInClear(port, legacy), /^HTTP\/1\.1 200 /);
    assert.deepEqual(urls(origin), ['/healthz', '/metrics?name=up', '/ready/db', '/legacy/orders']);
    assert.deepEqual(countsOf(lab), [
      ['call', 'excepted', 'kubelet', 3],
      ['call', 'excepted', 'prometheus', 1],
      ['connection', 'excepted', 'kubelet', 3],
      ['connection', 'excepted', 'prometheus', 1],
    ]);
    assert.equal(lab.proxy.takeReport().open!.length, 0, 'nobody waits for the end of such a connection');
  });

  test('calls one after the other on one connection, each by its own exception', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    const text = await callInClear(port, `${get('/healthz')}${get('/metrics')}${last('/healthz')}`);
    assert.equal(text.match(/HTTP\/1\.1 200 /g)?.length, 3);
    assert.deepEqual(urls(origin), ['/healthz', '/metrics', '/healthz']);
  });

  test('nothing of the identity fields that came with them', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    const forged = `X-Forwarded-Client-Cert: URI=${STOREFRONT}\r\nClient-Cert: :AAAA:\r\nClient-Cert-Chain: :AAAA:\r\nX-Own: 1\r\n`;
    await callInClear(port, last('/healthz', forged));
    const names = origin.requests[0]!.rawHeaders.filter((_text, at) => at % 2 === 0).map((name) => name.toLowerCase());
    assert.deepEqual(
      names.filter((name) => name.includes('client-cert')),
      [],
    );
    assert.equal(names.includes('x-own'), true);
  });

  test('a caller that asks for its server, by its server name', async () => {
    const { lab, port } = await openExceptionLab({ exceptions: [{ ...PROBES, serverName: 'old.acme.example' }] });
    await using _ = lab;
    assert.match((await callOverTls(port, { servername: 'OLD.acme.example' }, last('/healthz'))).text, /^HTTP\/1\.1 200 /);
    assert.equal((await callOverTls(port, { servername: 'new.acme.example' }, last('/healthz'))).text, '');
    assert.equal((await callOverTls(port, {}, last('/healthz'))).text, '');
    assert.equal(await callInClear(port, last('/healthz')), '');
  });

  test('the address that a balancer of a trusted range names, and not the balancer', async () => {
    const exceptions = [{ ...PROBES, sources: ['192.0.2.7/32'] }];
    const { lab, origin, port } = await openExceptionLab({ exceptions, inbound: { proxyProtocolFrom: ['127.0.0.1/32'] } });
    await using _ = lab;
    assert.match(await callInClear(port, `${from('192.0.2.7')}${last('/healthz')}`), /^HTTP\/1\.1 200 /);
    assert.equal(await callInClear(port, `${from('192.0.2.8')}${last('/healthz')}`), '');
    assert.equal(await callInClear(port, `PROXY UNKNOWN\r\n${last('/healthz')}`), '');
    assert.equal(origin.requests.length, 1);
  });
});

/** Each differs from a good call in one property. */
const refused: readonly (readonly [string, string])[] = [
  ['another path', last('/orders')],
  ['the root', last('/')],
  ['a path below', last('/healthz/x')],
  ['the path of a wildcard without its segment', last('/ready')],
  ['another method', `DELETE /healthz HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n`],
  ['a body for another method', `POST /healthz HTTP/1.1\r\nHost: orders\r\nContent-Length: 5\r\n\r\nhello`],
  ['another host', `POST /legacy/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 0\r\n\r\n`],
  ['an escaped letter', last('/%68ealthz')],
  ['an escaped dot segment', last('/x/%2e%2e/healthz')],
  ['a dot segment', last('/x/../healthz')],
  ['a double slash', last('//healthz')],
  ['a trailing slash', last('/healthz/')],
  ['another case', last('/Healthz')],
  ['an escaped slash', last('/ready%2Fdb')],
  ['a path parameter', last('/healthz;x=y')],
  ['a backslash', last('/ready\\db')],
  ['the absolute form', last('http://orders/healthz')],
  ['the asterisk form', `OPTIONS * HTTP/1.1\r\nHost: orders\r\n\r\n`],
  ['a method in a field of its own', last('/healthz', 'X-HTTP-Method-Override: DELETE\r\n')],
  ['a path in a field of its own', last('/healthz', 'X-Original-URL: /orders\r\n')],
  [
    'a WebSocket',
    get(
      '/healthz',
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
    ),
  ],
  ['an upgrade to HTTP/2', get('/healthz', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n')],
  ['two lengths', get('/healthz', 'Content-Length: 0\r\nContent-Length: 44\r\n')],
  ['a length and chunks', get('/healthz', 'Content-Length: 6\r\nTransfer-Encoding: chunked\r\n')],
  ['two hosts', get('/healthz', 'Host: other\r\n')],
  ['what is no HTTP', `${'x'.repeat(100)}\r\n\r\n`],
  ['HTTP/2 on a port of HTTP/1.1', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\0'.repeat(64)}`],
  ['a drill', makeDrillRequest('http/1.1', 'orders').octets.toString('latin1')],
];

describe('enforce refuses, in the clear and over TLS, without an octet of answer and without an octet to the service:', () => {
  for (const [name, request] of refused) {
    test(name, async () => {
      const { lab, origin, port } = await openExceptionLab();
      await using _ = lab;
      assert.equal(await callInClear(port, request), '');
      assert.equal((await callOverTls(port, {}, request)).text, '');
      assert.equal(origin.octets, 0);
      const refusals = lab.refusals();
      assert.equal(refusals.length, 2);
      assert.deepEqual(
        refusals.map(({ octetsForwarded }) => octetsForwarded),
        [0n, 0n],
      );
      assert.equal(lab.log.filter(({ event }) => event === 'connection refused').length, 2);
    });
  }

  test('a drill without a certificate, for the reason that it expects', async () => {
    const { lab, port } = await openExceptionLab();
    await using _ = lab;
    await callInClear(port, makeDrillRequest('http/1.1', 'orders').octets);
    await callOverTls(port, {}, makeDrillRequest('http/1.1', 'orders').octets.toString('latin1'));
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['plaintext', 'no-certificate'],
    );
  });

  test('another source', async () => {
    const { lab, origin, port } = await openExceptionLab({ exceptions: [{ ...PROBES, sources: ['192.0.2.0/24', '2001:db8::/48'] }] });
    await using _ = lab;
    assert.equal(await callInClear(port, last('/healthz')), '');
    assert.equal((await callOverTls(port, {}, last('/healthz'))).text, '');
    assert.equal(origin.octets, 0);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['plaintext', 'no-certificate'],
    );
  });

  test('an address that only a header of HTTP names', async () => {
    const { lab, port } = await openExceptionLab({ exceptions: [{ ...PROBES, sources: ['192.0.2.7/32'] }] });
    await using _ = lab;
    assert.equal(await callInClear(port, last('/healthz', 'X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n')), '');
  });

  test('a certificate that is not good, whatever it asks', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    const other = makeTestAuthority(Date.now(), 'Other').issue({ uris: [STOREFRONT] });
    const expired = lab.authority.issue({ uris: [STOREFRONT], notAfter: Date.now() - HOUR_MS / 2 });
    const stranger = lab.authority.issue({ uris: [STRANGER] });
    const revoked = lab.authority.issue({ uris: [STOREFRONT] });
    lab.revoke({ credentials: [revoked] });
    for (const credential of [other, expired, stranger, revoked]) {
      assert.equal((await callOverTls(port, clientOptions(credential), last('/healthz'))).text, '');
    }
    assert.equal(origin.octets, 0);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['unknown-authority', 'expired', 'wrong-identity', 'revoked'],
    );
  });

  test('TLS 1.1, whatever it asks', async () => {
    const { lab, port } = await openExceptionLab();
    await using _ = lab;
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    assert.equal((await callOverTls(port, old, last('/healthz'))).text, '');
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['tls-version'],
    );
  });

  test('whoever says nothing', async () => {
    const { lab, port } = await openExceptionLab();
    await using _ = lab;
    assert.equal((await callOverTls(port, {}, '')).text, '');
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['timeout'],
    );
  });

  test('half a request', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    assert.equal(await callInClear(port, 'GET /healthz HTTP/1.1\r\nHost: or'), '');
    assert.equal(origin.octets, 0);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['timeout'],
    );
  });
});

describe('each later call is judged anew:', () => {
  for (const [name, pause] of [
    ['pipelined', false],
    ['after the first answer', true],
  ] as const) {
    test(`another path, ${name}, ends the connection behind the first answer`, async () => {
      const { lab, origin, port } = await openExceptionLab();
      await using _ = lab;
      const socket = connectTcp(port, '127.0.0.1');
      socket.on('error', () => {});
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.write(pause ? get('/healthz') : `${get('/healthz')}${get('/orders')}${get('/healthz')}`);
      if (pause) {
        await once(socket, 'data');
        socket.write(get('/orders'));
      }
      await once(socket, 'close');
      assert.equal(text.match(/HTTP\/1\.1 /g)?.length, 1);
      assert.deepEqual(urls(origin), ['/healthz']);
      const [refusal] = lab.refusals();
      assert.equal(refusal?.reason, 'plaintext');
      assert.equal(lab.log.find(({ event }) => event === 'call refused')?.fields['reason'], 'plaintext');
    });
  }

  test('by settings in which the exception is no more', async () => {
    const { lab, origin, port } = await openExceptionLab();
    await using _ = lab;
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(get('/healthz'));
    await once(socket, 'data');
    await lab.apply({ inbound: [exceptedPort(origin, 'enforce', [SCRAPES])] });
    socket.write(get('/healthz'));
    await once(socket, 'close');
    assert.deepEqual(urls(origin), ['/healthz']);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['plaintext'],
    );
  });

  test('by the rate of its callers, which all of an exception share', async () => {
    const { lab, origin, port } = await openExceptionLab({ inbound: { callerRate: { perSecond: 1, burst: 1 } } });
    await using _ = lab;
    assert.match(await callInClear(port, last('/healthz')), /^HTTP\/1\.1 200 /);
    assert.equal(await callInClear(port, last('/healthz')), '');
    assert.match(await callInClear(port, last('/metrics')), /^HTTP\/1\.1 200 /, 'another exception has its own');
    assert.equal(origin.requests.length, 2);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['limit-exceeded'],
    );
  });

  test('by the host that the connection was opened for, where these must agree', async () => {
    const { lab, port } = await openExceptionLab({ inbound: { hostMatchesSni: true } });
    await using _ = lab;
    assert.equal((await callOverTls(port, { servername: 'other.example' }, last('/healthz'))).text, '');
    assert.match((await callOverTls(port, { servername: 'orders' }, last('/healthz'))).text, /^HTTP\/1\.1 200 /);
  });
});

describe('the end of an exception is kept by the proxy alone:', () => {
  test('nobody new is let in', async () => {
    const { lab, origin, port, clock } = await openExceptionLab();
    await using _ = lab;
    clock.aheadMs = 2 * HOUR_MS;
    assert.equal(await callInClear(port, last('/healthz')), '');
    assert.equal((await callOverTls(port, {}, last('/healthz'))).text, '');
    assert.equal(origin.octets, 0);
  });

  test('an open connection gets no further call', async () => {
    const { lab, origin, port, clock } = await openExceptionLab();
    await using _ = lab;
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(get('/healthz'));
    await once(socket, 'data');
    clock.aheadMs = 2 * HOUR_MS;
    socket.write(get('/healthz'));
    await once(socket, 'close');
    assert.equal(origin.requests.length, 1);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['exception-ended'],
    );
  });

  test('a call under way is cut, and with it what is longer allowed on the same connection', async () => {
    const until = Date.now() + 400;
    const { lab, port } = await openExceptionLab({ exceptions: [{ ...PROBES, untilMs: BigInt(until) }, SCRAPES] });
    await using _ = lab;
    const slow = await tcpOrigin(lab, (socket) => socket.resume());
    await lab.apply({ inbound: [exceptedPort(slow, 'enforce', [{ ...PROBES, untilMs: BigInt(until) }, SCRAPES])] });
    assert.equal(await callInClear(port, get('/healthz')), '');
    assert.equal(Date.now() >= until, true);
  });
});

describe('before enforcement', () => {
  for (const mode of ['observe', 'permissive'] as const) {
    test(`${mode} serves everybody, and counts what an exception covers apart`, async () => {
      const { lab, origin, port } = await openExceptionLab({ mode });
      await using _ = lab;
      const scraper = connectTcp(port, '127.0.0.1');
      scraper.on('error', () => {});
      scraper.write(get('/metrics'));
      await once(scraper, 'data');
      assert.match(await callInClear(port, last('/orders')), /^HTTP\/1\.1 200 /);
      assert.deepEqual(countsOf(lab), [
        ['call', 'excepted', 'prometheus', 1],
        ['call', 'would-refuse', 'plaintext', 1],
        ['connection', 'excepted', 'kubelet', 2],
      ]);
      scraper.write(get('/orders'));
      await once(scraper, 'data');
      assert.deepEqual(
        lab.proxy.takeReport().open!.map(({ count }) => count),
        [1],
        'what asks for more is waited for',
      );
      assert.equal(origin.requests.length, 3);
      scraper.destroy();
    });
  }

  test('a connection that asked for no more than its exception goes on when the mode rises, and one that did drains', async () => {
    const { lab, origin, port } = await openExceptionLab({ mode: 'permissive' });
    await using _ = lab;
    const open = async (target: string) => {
      const socket = connectTcp(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(get(target));
      await once(socket, 'data');
      return socket;
    };
    const [scraper, other] = [await open('/metrics'), await open('/orders')];
    const closed = once(other, 'close');
    await lab.apply({ inbound: [exceptedPort(origin, 'enforce', [PROBES, SCRAPES])] });
    await closed;
    scraper.write(get('/metrics'));
    assert.match(String((await once(scraper, 'data'))[0]), /^HTTP\/1\.1 200 /);
    scraper.destroy();
  });
});

for (const [name, wrong, protocol] of [
  ['no source', { sources: [] }],
  ['what is no range', { sources: ['10.0.0.1'] }],
  ['everybody', { sources: ['0.0.0.0/0'] }],
  ['everybody as IPv6', { sources: ['::ffff:0.0.0.0/96'] }],
  ['33 sources', { sources: Array.from({ length: 33 }, (_item, at) => `10.0.0.${at}/32`) }],
  ['no call', { calls: [] }],
  ['any method', { calls: [{ path: '/healthz' }] }],
  ['any path', { calls: [{ methods: ['GET'], path: '/**' }] }],
  ['the path of drills', { calls: [{ methods: ['GET'], path: '/.well-known/**' }] }],
  ['a path that is none', { calls: [{ methods: ['GET'], path: '/a/../b' }] }],
  ['calls of raw TCP', {}, Protocol.TCP],
  ['an odd name', { name: 'A b' }],
] as readonly (readonly [string, Wire, Protocol?])[]) {
  test(`settings with an exception for ${name} are refused`, async () => {
    await using lab = new ProxyLab();
    const protocolOf = protocol === undefined ? {} : { protocol };
    const { kind } = await lab.apply({ inbound: [exceptedPort({ port: 1 }, 'enforce', [Object.assign({}, PROBES, wrong)], protocolOf)] });
    assert.equal(kind, 'refused');
  });
}
