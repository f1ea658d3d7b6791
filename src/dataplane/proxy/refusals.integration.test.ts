import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { duplexPair } from 'node:stream';
import { describe, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { Outcome } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  type Origin,
  PROBE,
  PROBE_TARGET,
  ProxyLab,
  requestText,
  STOREFRONT,
  STRANGER,
} from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';

const OLD_TLS: ConnectionOptions = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };

type Bad = { readonly reason: RefusalReason; readonly call: (lab: ProxyLab, port: number) => Promise<string> };

/** Each differs from a good call in one property. */
const bad: readonly Bad[] = [
  { reason: 'plaintext', call: (_lab, port) => callInClear(port) },
  { reason: 'no-certificate', call: async (_lab, port) => (await callOverTls(port, {})).text },
  {
    reason: 'unknown-authority',
    call: async (_lab, port) =>
      (await callOverTls(port, clientOptions(makeTestAuthority(Date.now(), 'Other').issue({ uris: [STOREFRONT] })))).text,
  },
  {
    reason: 'expired',
    call: async (lab, port) =>
      (await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT], notAfter: Date.now() - HOUR_MS / 2 })))).text,
  },
  {
    reason: 'not-yet-valid',
    call: async (lab, port) =>
      (
        await callOverTls(
          port,
          clientOptions(lab.authority.issue({ uris: [STOREFRONT], notBefore: Date.now() + HOUR_MS, notAfter: Date.now() + DAY_MS })),
        )
      ).text,
  },
  {
    reason: 'revoked',
    async call(lab, port) {
      const credential = lab.authority.issue({ uris: [STOREFRONT] });
      lab.revoke({ credentials: [credential] });
      return (await callOverTls(port, clientOptions(credential))).text;
    },
  },
  {
    reason: 'suspended',
    async call(lab, port) {
      lab.revoke({ suspended: [STOREFRONT] });
      return (await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT] })))).text;
    },
  },
  {
    reason: 'wrong-identity',
    call: async (lab, port) => (await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STRANGER] })))).text,
  },
  {
    reason: 'wrong-usage',
    call: async (lab, port) =>
      (await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT], usages: ['server'] })))).text,
  },
  {
    reason: 'tls-version',
    call: async (lab, port) =>
      (await callOverTls(port, { ...OLD_TLS, ...clientOptions(lab.authority.issue({ uris: [STOREFRONT] })) })).text,
  },
];

async function openLab(mode: 'observe' | 'permissive' | 'enforce'): Promise<{ lab: ProxyLab; origin: Origin; port: number }> {
  const lab = new ProxyLab();
  const origin = await lab.origin();
  await lab.proxy.applyTrustBundle(lab.bundle());
  assert.deepEqual(await lab.apply({ inbound: [inboundTo(origin.port, mode)] }), { kind: 'accepted' });
  return { lab, origin, port: lab.portOf(0) };
}

describe('enforce refuses, without an octet of answer and without an octet to the service:', () => {
  for (const { reason, call } of bad) {
    test(reason, async () => {
      const { lab, origin, port } = await openLab('enforce');
      await using _ = lab;
      assert.equal(await call(lab, port), '');
      assert.equal(origin.octets, 0);
      const [refusal, ...others] = lab.refusals();
      assert.equal(others.length, 0);
      assert.equal(refusal?.reason, reason);
      assert.equal(refusal.octetsForwarded, 0n);
      assert.equal(refusal.firstOctetsSha256.length, 32);
      const line = lab.log.find(({ event }) => event === 'connection refused');
      assert.equal(line?.fields['reason'], reason);
      assert.equal(line.fields['firstOctetsSha256'], Buffer.from(refusal.firstOctetsSha256).toString('hex'));
    });
  }

  test('revoked, on a session that was resumed from before the revocation', async () => {
    const { lab, origin, port } = await openLab('enforce');
    await using _ = lab;
    const credential = lab.authority.issue({ uris: [STOREFRONT] });
    const first = await callOverTls(port, clientOptions(credential));
    assert.match(first.text, /^HTTP\/1\.1 200 /);
    const again = await callOverTls(port, { ...clientOptions(credential), session: first.session! });
    assert.equal(again.resumed, true, 'tickets work');
    assert.match(again.text, /^HTTP\/1\.1 200 /);
    lab.revoke({ credentials: [credential] });
    const before = origin.octets;
    const refused = await callOverTls(port, { ...clientOptions(credential), session: first.session! });
    assert.equal(refused.resumed, true);
    assert.equal(refused.text, '');
    assert.equal(origin.octets, before);
    assert.deepEqual(
      lab.refusals().map(({ reason, resumed }) => [reason, resumed]),
      [['revoked', true]],
    );
  });

  test('octets that look like TLS and are none', async () => {
    const { lab, origin, port } = await openLab('enforce');
    await using _ = lab;
    assert.equal(await callInClear(port, Buffer.concat([Buffer.from([0x16, 3, 1, 0, 4, 9, 9, 9, 9]), Buffer.alloc(80)])), '');
    assert.equal(origin.octets, 0);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['tls-malformed'],
    );
  });

  for (const [name, octets] of [
    ['nothing', ''],
    ['an octet of TLS and then nothing', '\u0016'],
  ] as const) {
    test(`who sends ${name}`, async () => {
      const { lab, origin, port } = await openLab('enforce');
      await using _ = lab;
      assert.equal(await callInClear(port, Buffer.from(octets, 'latin1')), '');
      assert.equal(origin.octets, 0);
      assert.deepEqual(
        lab.refusals().map(({ reason }) => reason),
        ['timeout'],
      );
    });
  }

  test('a plaintext request that never comes to its end is still plaintext', async () => {
    const { lab, port } = await openLab('enforce');
    await using _ = lab;
    assert.equal(await callInClear(port, 'GET /'), '');
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['plaintext'],
    );
  });

  test('who connects and leaves without a word is no refusal', async () => {
    const { lab, port } = await openLab('enforce');
    await using _ = lab;
    const closed = Promise.withResolvers<void>();
    const socket = connect(port, '127.0.0.1', () => socket.end());
    socket
      .on('close', () => closed.resolve())
      .on('error', () => {})
      .resume();
    await closed.promise;
    assert.deepEqual(lab.refusals(), []);
  });

  test('a ClientHello that is cut off', async () => {
    const { lab, port } = await openLab('enforce');
    await using _ = lab;
    const closed = Promise.withResolvers<void>();
    const socket = connect(port, '127.0.0.1', () => socket.end(Buffer.from([0x16, 3, 1, 2, 0, 1])));
    socket.on('close', () => closed.resolve()).on('error', () => {});
    await closed.promise;
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['tls-malformed'],
    );
  });
});

describe('permissive lets through, and counts as what enforce would do:', () => {
  for (const mode of ['observe', 'permissive'] as const) {
    for (const { reason, call } of bad) {
      test(`${mode}: ${reason}`, async () => {
        const { lab, origin, port } = await openLab(mode);
        await using _ = lab;
        assert.match(await call(lab, port), /^HTTP\/1\.1 200 /);
        assert.equal(origin.requests.length, 1);
        const headers = origin.requests[0]!.rawHeaders.map((name) => name.toLowerCase());
        assert.equal(headers.includes('x-forwarded-client-cert'), reason === 'wrong-identity', 'only a proof sets an identity');
        const report = lab.proxy.takeReport();
        assert.deepEqual(report.refusals, []);
        assert.deepEqual(
          report.counts!.map((count) => [count.outcome, count.reason]),
          [
            [Outcome.WOULD_REFUSE, reason],
            [Outcome.WOULD_REFUSE, reason],
          ],
        );
      });
    }
  }
});

describe('the prober and the proxy speak of the same connection', () => {
  test('by the first 64 octets of a plaintext request', async () => {
    const { lab, port } = await openLab('enforce');
    await using _ = lab;
    const request = requestText(PROBE_TARGET());
    await callInClear(port, request);
    const expected = createHash('sha256').update(request.slice(0, 64)).digest();
    assert.deepEqual(
      lab.refusals().map(({ firstOctetsSha256 }) => Buffer.from(firstOctetsSha256).toString('hex')),
      [expected.toString('hex')],
    );
  });

  test('also when they arrive one by one', async () => {
    const { lab, port } = await openLab('enforce');
    await using _ = lab;
    const request = requestText(PROBE_TARGET());
    const closed = Promise.withResolvers<void>();
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, async () => {
      for (const octet of request.slice(0, 70)) {
        if (socket.writable) await new Promise<void>((resolve) => socket.write(octet, () => setImmediate(resolve)));
      }
    });
    socket.on('close', () => closed.resolve()).on('error', () => {});
    await closed.promise;
    const expected = createHash('sha256').update(request.slice(0, 64)).digest('hex');
    assert.deepEqual(
      lab.refusals().map(({ firstOctetsSha256 }) => Buffer.from(firstOctetsSha256).toString('hex')),
      [expected],
    );
  });

  test('the probe identity gets the proxy’s own answer and reaches no service', async () => {
    const { lab, origin, port } = await openLab('enforce');
    await using _ = lab;
    const probe = clientOptions(lab.authority.issue({ uris: [PROBE] }));
    assert.match((await callOverTls(port, probe, requestText(PROBE_TARGET()))).text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.equal((await callOverTls(port, probe, requestText('/orders'))).text, '');
    assert.equal(origin.octets, 0);
    assert.deepEqual(lab.proxy.takeReport().counts, []);
  });
});

describe('who is allowed meets no refusal', () => {
  test('an allowed caller is accepted, with its identity in the headers and no forged one', async () => {
    const { lab, origin, port } = await openLab('enforce');
    await using _ = lab;
    const credential = lab.authority.issue({ uris: [STOREFRONT] });
    const forged = 'X-Forwarded-Client-Cert: URI=spiffe://acme.example/test/admin\r\nClient_Cert: :AAAA:\r\nclient-cert-chain: :AAAA:\r\n';
    assert.match((await callOverTls(port, clientOptions(credential), requestText('/', forged))).text, /^HTTP\/1\.1 200 /);
    const { rawHeaders } = origin.requests[0]!;
    const names = rawHeaders.filter((_, at) => at % 2 === 0);
    const value = (name: string): string => rawHeaders[rawHeaders.indexOf(name) + 1]!;
    assert.deepEqual(
      names.filter((name) => /cert/i.test(name)),
      ['X-Forwarded-Client-Cert', 'Client-Cert', 'Client-Cert-Chain'],
    );
    assert.match(
      value('X-Forwarded-Client-Cert'),
      /^By=spiffe:\/\/acme\.example\/test\/orders;Hash=[0-9a-f]{64};URI=spiffe:\/\/acme\.example\/test\/storefront$/,
    );
    assert.equal(value('Client-Cert'), `:${Buffer.from(credential.certificate.der).toString('base64')}:`);
  });

  test('forged identity headers are stripped from plaintext too', async () => {
    const { lab, origin, port } = await openLab('observe');
    await using _ = lab;
    const forged =
      'X-Forwarded-Client-Cert: URI=spiffe://acme.example/test/admin\r\nX_FORWARDED_CLIENT_CERT: a\r\nConnection: client-cert\r\n';
    assert.match(
      await callInClear(port, `GET / HTTP/1.1\r\nHost: orders\r\n${forged}\r\n${''}`.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')),
      /^HTTP\/1\.1 200 /,
    );
    assert.equal(
      origin.requests[0]!.rawHeaders.some((name) => /cert/i.test(name)),
      false,
    );
  });

  test('a path that is enforced is enforced where others are not yet', async () => {
    const lab = new ProxyLab();
    await using _ = lab;
    const origin = await lab.origin();
    await lab.proxy.applyTrustBundle(lab.bundle());
    await lab.apply({
      inbound: [
        inboundTo(origin.port, 'permissive', { callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: STOREFRONT, mode: 3 }] }),
      ],
    });
    lab.revoke({ suspended: [STOREFRONT, STRANGER] });
    const port = lab.portOf(0);
    assert.equal((await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT] })))).text, '');
    assert.match((await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STRANGER] })))).text, /^HTTP\/1\.1 200 /);
    assert.match(await callInClear(port), /^HTTP\/1\.1 200 /);
  });

  test('a ClientHello that arrives octet by octet is read whole', async () => {
    const { lab, port } = await openLab('enforce');
    await using _ = lab;
    const far = connect({ port, host: '127.0.0.1', noDelay: true });
    // The proxy closes first; what the client then says goodbye with goes nowhere.
    far.on('error', () => {});
    const [near, inner] = duplexPair();
    let sent = 0;
    inner.on('data', async (chunk: Buffer) => {
      inner.pause();
      for (const octet of chunk) {
        far.write(Buffer.from([octet]));
        // Each in a segment of its own, as far as the kernel goes along.
        if (sent++ < 300) await new Promise((resolve) => setImmediate(resolve));
      }
      inner.resume();
    });
    far.pipe(inner);
    const { text } = await callOverTls(port, { ...clientOptions(lab.authority.issue({ uris: [STOREFRONT] })), socket: near as never });
    far.destroy();
    assert.match(text, /^HTTP\/1\.1 200 /);
  });
});
