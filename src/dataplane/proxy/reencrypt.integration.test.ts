import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  type Inbound,
  InboundSchema,
  Origination,
  Protocol,
  Termination,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Channel, Outcome, Side, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { type Endpoint, openHttpEndpoint, openTlsEndpoint, pemOf } from '../../../test/support/endpoints.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  identityOf,
  inboundTo,
  ORDERS,
  outboundTo,
  ProxyLab,
  requestText,
  STOREFRONT,
  STRANGER,
} from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestLeaf } from '../../../test/support/test-authority.ts';

const NEXT_ENDPOINT = 'endpoint_01j00000000000000000000002';

/** An inbound port of the gateway that encrypts anew to these ports. */
function reencryptTo(
  ports: readonly number[],
  more: Parameters<typeof outboundTo>[2] = {},
  origination: Origination = Origination.MTLS,
): Inbound {
  const { listen: _listen, ...nextHop } = outboundTo(ports, origination, { endpointId: NEXT_ENDPOINT, ...more });
  const { upstream: _upstream, ...inbound } = inboundTo(0, 'enforce');
  return create(InboundSchema, {
    ...inbound,
    callers: inbound.callers.map((rule) => ({ ...rule, spiffeId: STRANGER })),
    termination: Termination.REENCRYPT,
    nextHop,
    protocol: nextHop.protocol,
  });
}

/** The gateway is the storefront, which orders allows; its own caller is the stranger, which orders does not. */
async function openGateway(inbound: Inbound, of?: ProxyLab): Promise<{ readonly gateway: ProxyLab; readonly port: number }> {
  const gateway = new ProxyLab(STOREFRONT, of?.authority);
  await gateway.proxy.applyTrustBundle(gateway.bundle());
  assert.deepEqual(await gateway.apply({ inbound: [inbound], spiffeId: STOREFRONT }), { kind: 'accepted' });
  return { gateway, port: gateway.portOf(0) };
}

const caller = (lab: ProxyLab) => clientOptions(lab.authority.issue({ uris: [STRANGER] }));

test('TLS of the caller ends at the gateway, and its own mutual TLS goes on: the service sees the gateway', async () => {
  await using sidecar = new ProxyLab(ORDERS);
  const origin = await sidecar.origin();
  await sidecar.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const { gateway, port } = await openGateway(reencryptTo([sidecar.portOf(0)]), sidecar);
  await using _ = gateway;
  const { text } = await callOverTls(port, caller(sidecar));
  assert.match(text, new RegExp(`200 OK[^]*${STOREFRONT}`));
  assert.doesNotMatch(text, new RegExp(STRANGER));
  const sides = (gateway.proxy.takeReport().counts ?? [])
    .filter(({ unit }) => unit === Unit.CALL)
    .map(({ side, endpointId, channel, outcome, caller: who }) => [side, endpointId === NEXT_ENDPOINT, channel, outcome, who]);
  assert.deepEqual(sides, [[Side.RECEIVER, false, Channel.MTLS, Outcome.ACCEPTED, STRANGER]]);
  // Who may not call the gateway calls nobody behind it.
  for (const options of [{}, clientOptions(sidecar.authority.issue({ uris: [ORDERS] }))])
    assert.equal((await callOverTls(port, options)).text, '');
  assert.equal(await callInClear(port), '');
  assert.equal(origin.requests.length, 1);
});

test('a renewed certificate of the gateway goes on at once, without a call lost', async () => {
  await using sidecar = new ProxyLab(ORDERS);
  const origin = await sidecar.origin();
  await sidecar.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const { gateway, port } = await openGateway(reencryptTo([sidecar.portOf(0)]), sidecar);
  await using _ = gateway;
  assert.match((await callOverTls(port, caller(sidecar))).text, /200 OK/);
  const before = gateway.credential;
  await gateway.proxy.applyIdentity(identityOf(STOREFRONT, sidecar.authority.issue({ uris: [STOREFRONT] }), sidecar.authority));
  // The old one would be refused by now.
  sidecar.revoke({ credentials: [before] });
  assert.match((await callOverTls(port, caller(sidecar))).text, /200 OK/);
  assert.equal(origin.requests.length, 2);
});

test('another next hop is taken by the next call of the port', async () => {
  await using sidecar = new ProxyLab(ORDERS);
  const [first, second] = [
    await sidecar.origin((_request, response) => response.end('first')),
    await sidecar.origin((_request, response) => response.end('second')),
  ];
  await sidecar.apply({ inbound: [inboundTo(first.port, 'enforce')] });
  const { gateway, port } = await openGateway(reencryptTo([sidecar.portOf(0)]), sidecar);
  await using _ = gateway;
  assert.match((await callOverTls(port, caller(sidecar))).text, /first/);
  await using other = new ProxyLab(ORDERS, sidecar.authority);
  await other.apply({ inbound: [inboundTo(second.port, 'enforce')] });
  await gateway.apply({ inbound: [reencryptTo([other.portOf(0)])], spiffeId: STOREFRONT });
  assert.match((await callOverTls(port, caller(sidecar))).text, /second/);
});

test('raw streams are encrypted anew, too', async () => {
  await using sidecar = new ProxyLab(ORDERS);
  const origin = await sidecar.origin();
  await sidecar.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const { gateway, port } = await openGateway(reencryptTo([sidecar.portOf(0)], { protocol: Protocol.TCP }), sidecar);
  await using _ = gateway;
  assert.match((await callOverTls(port, caller(sidecar))).text, /200 OK/);
});

const tls =
  (leaf: TestLeaf, own = true) =>
  async (lab: ProxyLab): Promise<Endpoint> => {
    const authority = own ? lab.authority : makeTestAuthority(Date.now(), 'Other');
    return openTlsEndpoint(pemOf(authority.issue(leaf)));
  };

describe('no octet of a call goes on to a server that is not proved:', () => {
  const bad: readonly (readonly [string, Origination, (lab: ProxyLab) => Promise<Endpoint>])[] = [
    ['plaintext', Origination.MTLS, () => openHttpEndpoint()],
    ['another identity', Origination.MTLS, tls({ uris: [STRANGER] })],
    ['another authority', Origination.MTLS, tls({ uris: [ORDERS] }, false)],
    ['an expired certificate', Origination.MTLS, tls({ uris: [ORDERS], notAfter: Date.now() - HOUR_MS / 2 })],
    ['a certificate for clients', Origination.MTLS, tls({ uris: [ORDERS], usages: ['client'] })],
    ['plaintext where a named server is expected', Origination.TLS, () => openHttpEndpoint()],
    ['another DNS name', Origination.TLS, tls({ dnsNames: ['evil.example'] })],
    ['an anchor that was not given', Origination.TLS, tls({ dnsNames: ['pay.example'] }, false)],
    ['no DNS name', Origination.TLS, tls({ uris: [ORDERS] })],
  ];
  for (const [name, origination, open] of bad) {
    test(name, async () => {
      await using lab = new ProxyLab(ORDERS);
      await using server = await open(lab);
      const named = { serverName: 'pay.example', serverAnchors: [lab.authority.root.der], serverSpiffeId: '' };
      const inbound = reencryptTo([server.address.port], origination === Origination.TLS ? named : {}, origination);
      const { gateway, port } = await openGateway(inbound, lab);
      await using _ = gateway;
      const { text } = await callOverTls(port, caller(lab), requestText('/secret-target'));
      assert.match(text, /^HTTP\/1\.1 50[234]/);
      // To a peer nothing is explained.
      assert.doesNotMatch(text, /countersign-failure/i);
      const { counts = [] } = gateway.proxy.takeReport();
      assert.ok(
        counts.some(({ side, outcome, endpointId }) => side === Side.CALLER && outcome === Outcome.FAILED && endpointId === NEXT_ENDPOINT),
      );
      assert.ok(!counts.some(({ side, outcome }) => side === Side.CALLER && outcome === Outcome.ACCEPTED));
    });
  }
});

test('a server outside of the trust domain is reached by its name, and shown no certificate of ours', async () => {
  await using lab = new ProxyLab(ORDERS);
  await using server = await openTlsEndpoint(pemOf(lab.authority.issue({ dnsNames: ['pay.example'] })));
  const named = { serverName: 'pay.example', serverAnchors: [lab.authority.root.der], serverSpiffeId: '' };
  const { gateway, port } = await openGateway(reencryptTo([server.address.port], named, Origination.TLS), lab);
  await using _ = gateway;
  assert.match((await callOverTls(port, caller(lab))).text, /200 OK/);
});
