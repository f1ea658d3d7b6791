import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { Origination, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Channel, Outcome, Side, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { chainPemOf, keyPemOf, ORDERS, outboundTo, ProxyLab, STOREFRONT, STRANGER, tcpOrigin } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';

type Endpoint = { readonly port: number; octets: number; readonly callers: (string | undefined)[] };

/** A server that counts the application octets it gets. */
async function serve(lab: ProxyLab, credential: TestCredential): Promise<Endpoint> {
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer(
    { cert: chainPemOf(credential), key: keyPemOf(credential), requestCert: true, rejectUnauthorized: false },
    (socket) => {
      sockets.add(socket);
      endpoint.callers.push(socket.getPeerX509Certificate()?.subjectAltName);
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        endpoint.octets += chunk.length;
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    },
  );
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const endpoint: Endpoint = { port: (server.address() as AddressInfo).port, octets: 0, callers: [] };
  return endpoint;
}

function call(port: number, headers: Record<string, string> = {}): Promise<{ status: number; failure: string | undefined }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; failure: string | undefined }>();
  const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', agent: false, headers }, (response: IncomingMessage) => {
    response
      .resume()
      .on('end', () => resolve({ status: response.statusCode!, failure: response.headers['countersign-failure'] as string | undefined }));
  });
  request.on('error', reject);
  request.end('card=4111');
  return promise;
}

async function openLab(): Promise<ProxyLab> {
  const lab = new ProxyLab(STOREFRONT);
  await lab.proxy.applyTrustBundle(lab.bundle());
  return lab;
}

describe('mutual TLS sends no octet of a call to a server that is not proved:', () => {
  const bad: readonly { readonly reason: RefusalReason; readonly credential: (lab: ProxyLab) => TestCredential }[] = [
    { reason: 'wrong-identity', credential: (lab) => lab.authority.issue({ uris: [STRANGER] }) },
    { reason: 'unknown-authority', credential: () => makeTestAuthority(Date.now(), 'Other').issue({ uris: [ORDERS] }) },
    { reason: 'expired', credential: (lab) => lab.authority.issue({ uris: [ORDERS], notAfter: Date.now() - HOUR_MS / 2 }) },
    {
      reason: 'not-yet-valid',
      credential: (lab) => lab.authority.issue({ uris: [ORDERS], notBefore: Date.now() + HOUR_MS, notAfter: Date.now() + DAY_MS }),
    },
    { reason: 'wrong-usage', credential: (lab) => lab.authority.issue({ uris: [ORDERS], usages: ['client'] }) },
    {
      reason: 'revoked',
      credential: (lab) => {
        const credential = lab.authority.issue({ uris: [ORDERS] });
        lab.revoke({ credentials: [credential] });
        return credential;
      },
    },
    {
      reason: 'suspended',
      credential: (lab) => {
        lab.revoke({ suspended: [ORDERS] });
        return lab.authority.issue({ uris: [ORDERS] });
      },
    },
  ];
  for (const { reason, credential } of bad) {
    test(reason, async () => {
      const lab = await openLab();
      await using _ = lab;
      const server = await serve(lab, credential(lab));
      await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([server.port], Origination.MTLS)] });
      assert.deepEqual(await call(lab.portOf(0)), { status: 502, failure: reason });
      assert.equal(server.octets, 0);
      const counts = lab.proxy.takeReport().counts!;
      assert.deepEqual(
        counts.map(({ side, caller, unit, channel, outcome, reason: word }) => [side, caller, unit, channel, outcome, word]),
        [
          [Side.CALLER, STOREFRONT, Unit.CONNECTION, Channel.MTLS, Outcome.FAILED, reason],
          [Side.CALLER, STOREFRONT, Unit.CALL, Channel.MTLS, Outcome.FAILED, reason],
        ],
      );
    });
  }

  test('a server that speaks plaintext gets nothing, and there is no fallback', async () => {
    const lab = await openLab();
    await using _ = lab;
    const origin = await lab.origin();
    await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([origin.port], Origination.MTLS)] });
    assert.equal((await call(lab.portOf(0))).status, 502);
    assert.equal(origin.requests.length, 0);
  });

  test('the operator’s own anchors count in place of the bundle, until they are set right', async () => {
    const lab = await openLab();
    await using _ = lab;
    const server = await serve(lab, lab.authority.issue({ uris: [ORDERS] }));
    await lab.proxy.applyServerAnchors([makeTestAuthority(Date.now(), 'Stale').root]);
    await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([server.port], Origination.MTLS)] });
    assert.deepEqual(await call(lab.portOf(0)), { status: 502, failure: 'unknown-authority' });
    await lab.proxy.applyServerAnchors([lab.authority.root]);
    assert.equal((await call(lab.portOf(0))).status, 200);
  });
});

test('mutual TLS shows our certificate to exactly the expected server', async () => {
  const lab = await openLab();
  await using _ = lab;
  const server = await serve(lab, lab.authority.issue({ uris: [ORDERS] }));
  await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([server.port], Origination.MTLS)] });
  assert.equal((await call(lab.portOf(0))).status, 200);
  assert.deepEqual(server.callers, [`URI:${STOREFRONT}`]);
  const report = lab.proxy.takeReport();
  assert.deepEqual(
    report.open!.map(({ side, caller, channel, count }) => [side, caller, channel, count]),
    [[Side.CALLER, STOREFRONT, Channel.MTLS, 1]],
  );
});

test('an open connection to a server that is suspended now is closed', async () => {
  const lab = await openLab();
  await using _ = lab;
  const server = await serve(lab, lab.authority.issue({ uris: [ORDERS] }));
  await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([server.port], Origination.MTLS)] });
  await call(lab.portOf(0));
  lab.revoke({ suspended: [ORDERS] });
  assert.deepEqual(await call(lab.portOf(0)), { status: 502, failure: 'suspended' });
});

describe('one-way TLS to a server outside of the trust domain', () => {
  const foreign = makeTestAuthority(Date.now(), 'Processor');

  for (const [name, dns, anchors, expected] of [
    ['is accepted under its own anchors and name', 'pay.example', [foreign.root.der], { status: 200, failure: undefined }],
    ['is refused under another name', 'other.example', [foreign.root.der], { status: 502, failure: 'wrong-identity' }],
    [
      'is refused under other anchors',
      'pay.example',
      [makeTestAuthority(Date.now(), 'No').root.der],
      { status: 502, failure: 'unknown-authority' },
    ],
  ] as const) {
    test(name, async () => {
      const lab = await openLab();
      await using _ = lab;
      const server = await serve(lab, foreign.issue({ dnsNames: ['pay.example'], usages: ['server'] }));
      const more = { serverName: dns, serverAnchors: [...anchors] };
      await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([server.port], Origination.TLS, more)] });
      assert.deepEqual(await call(lab.portOf(0)), expected);
      assert.equal(server.octets > 0, expected.status === 200);
      assert.ok(
        server.callers.every((caller) => caller === undefined),
        'our certificate is shown to nobody outside',
      );
    });
  }
});

describe('several upstreams', () => {
  test('take turns', async () => {
    const lab = await openLab();
    await using _ = lab;
    const origins = [await lab.origin(), await lab.origin()];
    await lab.apply({
      spiffeId: STOREFRONT,
      outbound: [
        outboundTo(
          origins.map(({ port }) => port),
          Origination.PLAINTEXT,
        ),
      ],
    });
    for (let i = 0; i < 6; i++) assert.equal((await call(lab.portOf(0))).status, 200);
    assert.deepEqual(
      origins.map(({ requests }) => requests.length),
      [3, 3],
    );
  });

  test('stand in for one that is away', async () => {
    const lab = await openLab();
    await using _ = lab;
    const [there, gone] = [await lab.origin(), await lab.origin()];
    const { port } = gone;
    gone.close();
    await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([port, there.port], Origination.PLAINTEXT)] });
    for (let i = 0; i < 6; i++) assert.equal((await call(lab.portOf(0))).status, 200);
  });

  test('are not tried a second time with a call that was sent', async () => {
    const lab = await openLab();
    await using _ = lab;
    let calls = 0;
    const breaking = (): Promise<{ readonly port: number }> =>
      tcpOrigin(lab, (socket) => void socket.once('data', () => (calls++, socket.destroy())));
    const ports = [(await breaking()).port, (await breaking()).port];
    await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo(ports, Origination.PLAINTEXT)] });
    assert.deepEqual(await call(lab.portOf(0)), { status: 502, failure: 'upstream-broken' });
    assert.equal(calls, 1);
  });
});

test('a change of origination moves calls to new connections and closes the old ones gracefully', async () => {
  const lab = await openLab();
  await using _ = lab;
  const plain = await lab.origin();
  const server = await serve(lab, lab.authority.issue({ uris: [ORDERS] }));
  await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([plain.port], Origination.PLAINTEXT)] });
  const port = lab.portOf(0);
  await call(port);
  await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([server.port], Origination.MTLS)] });
  assert.equal(lab.portOf(0), port, 'the same socket');
  assert.equal((await call(port)).status, 200);
  assert.equal(plain.requests.length, 1);
  while (lab.proxy.takeReport().open!.some(({ channel, count }) => channel === Channel.PLAINTEXT && count > 0)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test('raw TCP goes out over mutual TLS', async () => {
  const lab = await openLab();
  await using _ = lab;
  const server = await serve(lab, lab.authority.issue({ uris: [ORDERS] }));
  await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([server.port], Origination.MTLS, { protocol: Protocol.TCP })] });
  const socket = connect(lab.portOf(0), '127.0.0.1', () => socket.write('ping'));
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 OK/);
  socket.destroy();
});
