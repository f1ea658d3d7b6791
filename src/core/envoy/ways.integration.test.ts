import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { callUnary, GRPC, grpcClient, grpcService } from '../../../test/support/grpc-lab.ts';
import {
  callInClear,
  callOverTls,
  chainPemOf,
  clientOptions,
  inboundTo,
  keyPemOf,
  loopback,
  ORDERS,
  outboundTo,
  PROBE,
  PROBE_TARGET,
  requestText,
  STOREFRONT,
  STRANGER,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { PROBE_ALPN } from '../findings/drill-kind.ts';
import { Origination, Protocol, ProxyProtocol, Termination } from '../messages/generated/countersign/v1/settings_pb.ts';

type InboundMore = Parameters<typeof inboundTo>[2];
type OutboundMore = Parameters<typeof outboundTo>[2];

describe('ways through Envoy', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start(['--drain-time-s', '1', '--drain-strategy', 'immediate']);
  });
  after(() => bench[Symbol.asyncDispose]());
  beforeEach(() => bench.revoked.clear());

  const inbound = (port: number, mode: 'observe' | 'enforce', more: object = {}) =>
    inboundTo(port, mode, { listen: loopback(bench.port), ...more } as InboundMore);
  const carried = (port: number, endpointId: string, more: object) =>
    inbound(port, 'observe', { endpointId, termination: Termination.PASSTHROUGH, protocol: Protocol.UNSPECIFIED, ...more });
  const asCaller = (uri: string) => clientOptions(bench.lab.authority.issue({ uris: [uri] }));

  it('carries gRPC from a service in the clear over mutual TLS to a service in the clear', async () => {
    const [{ port: service }, from] = [await grpcService(bench.lab), await freePort()];
    const callers = [{ pathId: 'p', spiffeId: ORDERS, mode: 3 }];
    await bench.apply({
      inbound: [inbound(service, 'enforce', { ...GRPC, callers })],
      outbound: [outbound(from, [bench.port], Origination.MTLS, GRPC)],
    });
    const answer = await callUnary(grpcClient(bench.lab, from), 'hello');
    assert.equal(answer.error, null);
    assert.equal(String(answer.value), 'hello');
  });

  it('speaks to a server of mutual TLS that is who it has to be, with TLS 1.3, and to no other', async () => {
    const from = await freePort();
    const server = (credential: ReturnType<typeof bench.lab.authority.issue>) => tlsOrigin(bench, credential);
    const [good, other, unknown] = [
      await server(bench.lab.authority.issue({ uris: [ORDERS] })),
      await server(bench.lab.authority.issue({ uris: [STRANGER] })),
      await server(makeTestAuthority(Date.now(), 'Unknown').issue({ uris: [ORDERS] })),
    ];
    const policy = { tls: { minimumVersion: 0x0304, maximumVersion: 0x0304 } };
    await bench.apply({ outbound: [outbound(from, [good.port], Origination.MTLS, policy)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 200 [^]*TLSv1\.3 spiffe:\/\/acme\.example\/test\/orders/);
    for (const bad of [other, unknown]) {
      await bench.apply({ outbound: [outbound(from, [bad.port], Origination.MTLS, policy)] });
      assert.match(await callInClear(from), /^HTTP\/1\.1 503 /);
      assert.equal(bad.requests(), 0);
    }
    await bench.apply({ outbound: [outbound(from, [good.port], Origination.MTLS, policy)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 200 /);
    bench.revoked.suspended.push(ORDERS);
    await bench.apply({ outbound: [outbound(from, [good.port], Origination.MTLS, policy)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 503 /);
  });

  it('speaks one-way TLS to a named server, and to none of another name', async () => {
    const from = await freePort();
    const authority = makeTestAuthority(Date.now(), 'Public');
    const [good, other] = [
      await tlsOrigin(bench, authority.issue({ dnsNames: ['api.example'] })),
      await tlsOrigin(bench, authority.issue({ dnsNames: ['www.example'] })),
    ];
    const named = { serverName: 'api.example', serverAnchors: [authority.root.der] };
    await bench.apply({ outbound: [outbound(from, [good.port], Origination.TLS, named)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 200 [^]*api\.example nobody/);
    await bench.apply({ outbound: [outbound(from, [other.port], Origination.TLS, named)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 503 /);
    assert.equal(other.requests(), 0);
  });

  it('moves calls from the clear to mutual TLS without a new port, and a failed handshake is never tried in the clear', async () => {
    const from = await freePort();
    const good = await tlsOrigin(bench, bench.lab.authority.issue({ uris: [ORDERS] }));
    await bench.apply({ outbound: [outbound(from, [bench.origin.port], Origination.PLAINTEXT)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 200 /);
    const listeners = await bench.envoy.admin('/stats?filter=listener_manager.listener_(added|modified|in_place_updated)$');
    await bench.apply({ outbound: [outbound(from, [good.port], Origination.MTLS)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 200 [^]*TLSv1/);
    assert.equal(await bench.envoy.admin('/stats?filter=listener_manager.listener_(added|modified|in_place_updated)$'), listeners);
    const before = bench.origin.requests.length;
    await bench.apply({ outbound: [outbound(from, [bench.origin.port], Origination.MTLS)] });
    assert.match(await callInClear(from), /^HTTP\/1\.1 503 /);
    assert.equal(bench.origin.requests.length, before);
  });

  it('sends a call again to another replica, and leaves out one that fails', async () => {
    const [from, dead] = [await freePort(), await freePort()];
    const more = { retries: { percent: 100, minimumPerSecond: 10 }, ejection: { failures: 1, baseMs: 30_000, maximumPercent: 50 } };
    await bench.apply({ outbound: [outbound(from, [dead, bench.origin.port], Origination.PLAINTEXT, more)] });
    for (let times = 0; times < 10; times++) assert.match(await callInClear(from), /^HTTP\/1\.1 200 /);
    await bench.envoy.until(
      async () => /ejections_active: 1/.test(await bench.envoy.admin('/stats?filter=ejections_active')),
      'it is left out',
    );
  });

  it('asks replicas for their health and calls those that are well', async () => {
    const [from, dead] = [await freePort(), await freePort()];
    const healthCheck = { path: '/health', intervalMs: 50, timeoutMs: 50, healthyAfter: 1, unhealthyAfter: 1, panicPercent: 0 };
    await bench.apply({ outbound: [outbound(from, [dead, bench.origin.port], Origination.PLAINTEXT, { healthCheck })] });
    await bench.envoy.until(
      async () => /membership_healthy: 1/.test(await bench.envoy.admin(`/stats?filter=cluster.cs.outbound.*membership_healthy`)),
      'one is well',
    );
    for (let times = 0; times < 6; times++) assert.match(await callInClear(from), /^HTTP\/1\.1 200 /);
  });

  it('takes TLS, and goes on over mutual TLS to the endpoint behind', async () => {
    const hop = await tlsOrigin(bench, bench.lab.authority.issue({ uris: [STRANGER] }));
    const nextHop = outboundTo([hop.port], Origination.MTLS, { endpointId: OTHER, serverSpiffeId: STRANGER } as OutboundMore);
    const one = inbound(0, 'enforce', { termination: Termination.REENCRYPT, nextHop });
    await bench.apply({ inbound: [{ ...one, upstream: undefined as never }] });
    assert.match(
      (await callOverTls(bench.port, asCaller(STOREFRONT))).text,
      /^HTTP\/1\.1 200 [^]*TLSv1\.3 spiffe:\/\/acme\.example\/test\/orders/,
    );
  });

  it('carries TLS on untouched by its server name, and nothing else', async () => {
    const [a, b, rest] = await Promise.all(
      ['a', 'b', 'rest'].map((name) => tlsOrigin(bench, bench.lab.authority.issue({ dnsNames: [`${name}.example`] }))),
    );
    await bench.apply({
      inbound: [
        carried(a!.port, 'endpoint_a', { serverNames: ['a.example'] }),
        carried(b!.port, 'endpoint_b', { serverNames: ['*.b.example'] }),
      ],
    });
    const served = async (servername: string) => /SERVER=(\S+)/.exec((await callOverTls(bench.port, { servername })).text)?.[1] ?? null;
    assert.deepEqual(
      [await served('a.example'), await served('x.b.example'), await served('x.y.b.example'), await served('c.example')],
      ['a.example', 'b.example', null, null],
    );
    assert.equal(await callInClear(bench.port), '');
    await bench.apply({
      inbound: [
        carried(a!.port, 'endpoint_a', { serverNames: ['a.example'] }),
        carried(rest!.port, 'endpoint_r', { serverNames: [], takesUnknown: true }),
      ],
    });
    assert.deepEqual([await served('a.example'), await served('c.example')], ['a.example', 'rest.example']);
  });

  it('carries TCP, and tells the service by the PROXY protocol from where', async () => {
    let seen = '';
    const { port } = await tcpOrigin(bench.lab, (socket) => socket.on('data', (chunk) => ((seen += String(chunk)), socket.end('bye'))));
    const tcp = { protocol: Protocol.TCP, proxyProtocolTo: ProxyProtocol.V1 };
    await bench.apply({ inbound: [inbound(port, 'enforce', tcp)] });
    assert.equal((await callOverTls(bench.port, asCaller(STOREFRONT), 'hello')).text, 'bye');
    assert.match(seen, /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nhello$/);
    assert.equal((await callOverTls(bench.port, asCaller(STRANGER), 'hello')).text, '');
    assert.equal(await callInClear(bench.port, 'hello'), '');
  });

  it('answers the prober of a port of TCP by another protocol of its own, and nobody else there', async () => {
    let octets = 0;
    const { port } = await tcpOrigin(bench.lab, (socket) => socket.on('data', (chunk) => (octets += chunk.length)));
    await bench.apply({ inbound: [inbound(port, 'enforce', { protocol: Protocol.TCP })] });
    const probing = { ALPNProtocols: [PROBE_ALPN] };
    assert.match((await callOverTls(bench.port, { ...asCaller(PROBE), ...probing }, requestText(PROBE_TARGET()))).text, /^HTTP\/1\.1 200 /);
    assert.match((await callOverTls(bench.port, { ...asCaller(PROBE), ...probing }, requestText('/x'))).text, /^HTTP\/1\.1 404 /);
    for (const options of [asCaller(PROBE), { ...asCaller(STOREFRONT), ...probing }, { ...asCaller(STRANGER), ...probing }, probing])
      assert.equal((await callOverTls(bench.port, options, requestText(PROBE_TARGET()))).text, '');
    assert.equal(octets, 0);
  });

  it('takes the PROXY protocol of balancers, and demands it of everybody then', async () => {
    await bench.apply({ inbound: [inbound(bench.origin.port, 'observe', { proxyProtocolFrom: ['0.0.0.0/0', '::/0'] })] });
    assert.match(await callInClear(bench.port, `PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n${requestText()}`), /^HTTP\/1\.1 200 /);
    assert.equal(await callInClear(bench.port), '');
  });

  it('waits for a server of TCP that speaks first', async () => {
    const { port } = await tcpOrigin(bench.lab, (socket) => socket.end('welcome'));
    await bench.apply({ inbound: [inbound(port, 'observe', { protocol: Protocol.TCP })] });
    assert.equal(await callInClear(bench.port, ''), 'welcome');
  });

  it('listens at, and goes on to, sockets of the file system', async () => {
    const path = bench.envoy.path('service.sock');
    const unix = { address: { case: 'unixPath' as const, value: path } };
    const from = await freePort();
    await bench.apply({
      inbound: [inboundTo(bench.origin.port, 'observe', { listen: unix } as InboundMore)],
      outbound: [outbound(from, [], Origination.PLAINTEXT, { upstreams: [unix] })],
    });
    assert.match(await callInClear(from), /^HTTP\/1\.1 200 /);
  });

  it('ends open connections of TCP within the drain time once somebody is revoked', async () => {
    const { port } = await tcpOrigin(bench.lab, (socket) => socket.pipe(socket));
    const [gone, stays] = [bench.lab.authority.issue({ uris: [STOREFRONT] }), bench.lab.authority.issue({ uris: [STOREFRONT] })];
    const tcp = { protocol: Protocol.TCP };
    await bench.apply({ inbound: [inbound(port, 'enforce', tcp)] });
    const open = await Promise.all([gone, stays].map((credential) => openStream(bench.port, credential)));
    bench.revoked.credentials.push(gone);
    const ended = Promise.all(open.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    await bench.apply({ inbound: [inbound(port, 'enforce', tcp)] });
    await ended;
    assert.equal((await callOverTls(bench.port, clientOptions(gone), 'x')).text, '');
    (await openStream(bench.port, stays)).destroy();
  });
});

function outbound(port: number, ports: readonly number[], origination: Origination, more: object = {}) {
  return outboundTo(ports, origination, { endpointId: OTHER, listen: loopback(port), ...more } as OutboundMore);
}

/** Connects, and resolves when what it said came back. */
async function openStream(port: number, credential: Parameters<typeof clientOptions>[0]): Promise<Socket> {
  const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...clientOptions(credential) });
  socket.on('error', () => {});
  socket.write('ping');
  await once(socket, 'data');
  return socket;
}

/** A server of HTTP over TLS that says how it was spoken to, and by whom. */
async function tlsOrigin(bench: EnvoyBench, credential: Parameters<typeof clientOptions>[0]) {
  let requests = 0;
  const name = credential.certificate.subjectAltNames?.dns[0] ?? 'nobody';
  const server = createTlsServer(
    { cert: chainPemOf(credential), key: keyPemOf(credential), requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] },
    (socket) => {
      socket.on('error', () => {});
      socket.on('data', () => {
        requests += 1;
        const uri = /URI:(\S+)/.exec(socket.getPeerX509Certificate()?.subjectAltName ?? '')?.[1] ?? 'nobody';
        const text = `${socket.getProtocol()} ${uri} ${name} nobody SERVER=${name} `;
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`);
      });
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  bench.lab.onClose(() => server.close());
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, requests: () => requests };
}

const OTHER = 'endpoint_01j00000000000000000000001';
