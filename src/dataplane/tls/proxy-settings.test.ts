import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  Mode,
  Origination,
  Protocol,
  type ProxySettings,
  ProxySettingsSchema,
  Termination,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { parseProxySettings, parseServiceSettings } from './proxy-settings.ts';

const at = (port: number) => ({ address: { case: 'internet' as const, value: { ip: '127.0.0.1', port } } });
const inbound = {
  endpointId: 'endpoint_a',
  endpointName: 'orders',
  listen: at(1),
  upstream: { address: { case: 'unixPath' as const, value: '/run/orders.sock' } },
  protocol: Protocol.HTTP,
  anonymousMode: Mode.PERMISSIVE,
  strangerMode: Mode.ENFORCE,
  callers: [{ pathId: 'path_a', spiffeId: 'spiffe://acme.example/prod/a', mode: Mode.OBSERVE }],
};
const outbound = {
  endpointId: 'endpoint_b',
  endpointName: 'payments',
  listen: at(2),
  upstreams: [at(3), at(4)],
  protocol: Protocol.TCP,
  origination: Origination.MTLS,
  serverSpiffeId: 'spiffe://acme.example/prod/payments',
};

const { listen: _listen, ...hop } = { ...outbound, protocol: Protocol.HTTP };
const { upstream: _to, ...ended } = inbound;
const reencrypt = { ...ended, termination: Termination.REENCRYPT, nextHop: hop };
const carried = { ...inbound, termination: Termination.PASSTHROUGH, serverNames: ['orders.acme.example'] };

function settings(more: MessageInitShape<typeof ProxySettingsSchema> = {}): ProxySettings {
  const base = {
    generation: 7n,
    spiffeId: 'spiffe://acme.example/prod/orders',
    trustDomain: 'acme.example',
    inbound: [inbound],
    outbound: [outbound],
  };
  return create(ProxySettingsSchema, { ...base, ...more } as MessageInitShape<typeof ProxySettingsSchema>);
}

test('parseProxySettings() reads ports, modes, callers and originations', () => {
  const parsed = parseProxySettings(settings());
  const [first] = parsed.inbound;
  assert.deepEqual(
    [first!.anonymousMode, first!.strangerMode, [...first!.callers]],
    ['permissive', 'enforce', [['spiffe://acme.example/prod/a', 'observe']]],
  );
  assert.deepEqual(first!.onward, { kind: 'service', upstream: { kind: 'unix', path: '/run/orders.sock' } });
  assert.deepEqual(parsed.outbound[0]!.origination, { kind: 'mtls', server: 'spiffe://acme.example/prod/payments' });
});

function digest(more: object): string {
  return parseProxySettings(settings({ outbound: [{ ...outbound, ...more }] })).outbound[0]!.digest;
}

test('parseProxySettings() gives one digest to one way of speaking, and another to another', () => {
  assert.equal(digest({}), digest({ drainMs: 9 }));
  for (const change of [
    { origination: Origination.PLAINTEXT },
    { serverSpiffeId: 'spiffe://acme.example/prod/x' },
    { upstreams: [at(3)] },
    { tls: { groups: ['X25519'] } },
  ]) {
    assert.notEqual(digest({}), digest(change), JSON.stringify(Object.keys(change)));
  }
});

const bad: readonly (readonly [string, MessageInitShape<typeof ProxySettingsSchema>])[] = [
  ['an unset mode', { inbound: [{ ...inbound, anonymousMode: Mode.UNSPECIFIED }] }],
  ['a mode of the future', { inbound: [{ ...inbound, strangerMode: 9 as Mode }] }],
  ['a caller without a mode', { inbound: [{ ...inbound, callers: [{ spiffeId: 'spiffe://acme.example/prod/a' }] }] }],
  ['a caller that is no SPIFFE ID', { inbound: [{ ...inbound, callers: [{ spiffeId: 'storefront', mode: Mode.ENFORCE }] }] }],
  ['an unset protocol', { inbound: [{ ...inbound, protocol: Protocol.UNSPECIFIED }] }],
  ['no address to listen at', { inbound: [{ endpointId: 'endpoint_a' }] }],
  [
    'a name in place of an IP',
    { inbound: [{ ...inbound, listen: { address: { case: 'internet', value: { ip: 'localhost', port: 1 } } } }] },
  ],
  ['a relative socket path', { inbound: [{ ...inbound, upstream: { address: { case: 'unixPath', value: 'orders.sock' } } }] }],
  ['one address twice', { inbound: [inbound, inbound] }],
  ['one address for both sides', { outbound: [{ ...outbound, listen: at(1) }] }],
  ['an unset origination', { outbound: [{ ...outbound, origination: Origination.UNSPECIFIED }] }],
  ['mutual TLS to nobody in particular', { outbound: [{ ...outbound, serverSpiffeId: '' }] }],
  ['one-way TLS without a name', { outbound: [{ ...outbound, origination: Origination.TLS, serverAnchors: [Uint8Array.of(1)] }] }],
  ['one-way TLS without anchors', { outbound: [{ ...outbound, origination: Origination.TLS, serverName: 'pay.example' }] }],
  [
    'one-way TLS with an anchor that is no certificate',
    { outbound: [{ ...outbound, origination: Origination.TLS, serverName: 'pay.example', serverAnchors: [Uint8Array.of(1)] }] },
  ],
  ['no upstream', { outbound: [{ ...outbound, upstreams: [] }] }],
  ['TLS 1.1', { inbound: [{ ...inbound, tls: { minimumVersion: 0x0302 } }] }],
  ['versions the wrong way round', { inbound: [{ ...inbound, tls: { minimumVersion: 0x0304, maximumVersion: 0x0303 } }] }],
  ['a suite that is an operator of OpenSSL', { inbound: [{ ...inbound, tls: { suites: ['ALL:@SECLEVEL=0'] } }] }],
  ['an identity that is none', { spiffeId: 'orders' }],
  ['a termination of the future', { inbound: [{ ...inbound, termination: 9 as Termination }] }],
  ['a next hop where TLS ends', { inbound: [{ ...inbound, nextHop: hop }] }],
  ['to encrypt anew without a next hop', { inbound: [{ ...ended, termination: Termination.REENCRYPT }] }],
  ['to encrypt anew with an upstream', { inbound: [{ ...reencrypt, upstream: at(9) }] }],
  ['to encrypt anew in plaintext', { inbound: [{ ...reencrypt, nextHop: { ...hop, origination: Origination.PLAINTEXT } }] }],
  ['to encrypt anew in another protocol', { inbound: [{ ...reencrypt, nextHop: { ...hop, protocol: Protocol.TCP } }] }],
  ['to encrypt anew to nobody in particular', { inbound: [{ ...reencrypt, nextHop: { ...hop, serverSpiffeId: '' } }] }],
  ['a next hop that listens', { inbound: [{ ...reencrypt, nextHop: { ...hop, listen: at(9) } }] }],
  ['passing through without a name', { inbound: [{ ...carried, serverNames: [] }] }],
  ['passing through by a pattern that is none', { inbound: [{ ...carried, serverNames: ['*'] }] }],
  ['passing through without an upstream', { inbound: [{ ...carried, upstream: undefined }] }],
  ['passing through with a next hop', { inbound: [{ ...carried, nextHop: hop }] }],
  ['one server name twice at one address', { inbound: [carried, { ...carried, serverNames: ['ORDERS.acme.example'] }] }],
  [
    'two takers of unknown names at one address',
    {
      inbound: [
        { ...carried, takesUnknown: true },
        { ...carried, serverNames: ['b.acme.example'], takesUnknown: true },
      ],
    },
  ],
  ['one address to end and to pass through', { inbound: [inbound, carried] }],
  ['routes of an endpoint of tcp', { inbound: [{ ...inbound, protocol: Protocol.TCP, routes: [{ path: '/a' }] }] }],
  ['a route without a path', { inbound: [{ ...inbound, routes: [{ host: 'a.example' }] }] }],
  ['a route whose path has dots', { inbound: [{ ...inbound, routes: [{ path: '/a/../b' }] }] }],
  ['a route for a method that is none', { inbound: [{ ...inbound, routes: [{ path: '/a', methods: ['get'] }] }] }],
  ['a route for a host with a port', { inbound: [{ ...inbound, routes: [{ path: '/a', host: 'a.example:1' }] }] }],
  ['a route of a caller that is no SPIFFE ID', { inbound: [{ ...inbound, routes: [{ path: '/a', callerSpiffeIds: ['shop'] }] }] }],
  ['a route of a caller by a name of an unknown kind', { inbound: [{ ...inbound, routes: [{ path: '/a', callerSans: ['cn:shop'] }] }] }],
  ['an answer field with a line end', { inbound: [{ ...inbound, answerFields: [{ name: 'x-a', value: 'b\r\nx: y' }] }] }],
  ['an answer field whose name is none', { inbound: [{ ...inbound, answerFields: [{ name: 'X A', value: 'b' }] }] }],
  ['an answer field without a value', { inbound: [{ ...inbound, answerFields: [{ name: 'x-a', value: '' }] }] }],
  ['bound tokens for nobody', { inbound: [{ ...inbound, boundTokens: { issuer: 'i', audiences: [] } }] }],
  ['bound tokens of a key that is none', { inbound: [{ ...inbound, boundTokens: { issuer: 'i', audiences: ['a'], keys: ['{'] } }] }],
  ['too many routes', { inbound: [{ ...inbound, routes: Array.from({ length: 1_001 }, () => ({ path: '/a' })) }] }],
];

for (const [name, more] of bad) {
  test(`parseProxySettings() refuses ${name}`, () => {
    assert.throws(() => parseProxySettings(settings(more)), { name: 'Problem' });
  });
}

test('parseProxySettings() puts together what passes through at one address, and reads where TLS begins anew', () => {
  const { inbound: parsed, passthrough } = parseProxySettings(
    settings({
      inbound: [
        { ...reencrypt, listen: at(5) },
        carried,
        { ...carried, serverNames: [], takesUnknown: true, termination: Termination.MUTUAL },
      ],
      outbound: [],
    }),
  );
  assert.deepEqual([parsed.length, passthrough.length, passthrough[0]!.routes.length], [1, 1, 2]);
  assert.ok(parsed[0]!.onward.kind === 'reencrypt' && parsed[0]!.onward.outbound.origination.kind === 'mtls');
  assert.equal(passthrough[0]!.find('Orders.acme.example'), passthrough[0]!.routes[0]);
  assert.equal(passthrough[0]!.unknown, passthrough[0]!.routes[1]);
});

test('parseServiceSettings() takes no termination but its own', () => {
  const { listen: _listen2, upstream: _upstream2, ...served } = inbound;
  for (const termination of [Termination.REENCRYPT, Termination.PASSTHROUGH, Termination.MUTUAL]) {
    assert.throws(() => parseServiceSettings(settings({ inbound: [{ ...served, termination }], outbound: [] })), /ends in the service/);
  }
});

test('parseServiceSettings() reads endpoints without sockets, and takes no settings of a proxy', () => {
  const { listen: _inListen, upstream: _upstream, ...served } = inbound;
  const { listen: _outListen, ...called } = outbound;
  const parsed = parseServiceSettings(settings({ inbound: [served], outbound: [called] }));
  assert.deepEqual([parsed.inbound[0]!.endpointName, parsed.outbound[0]!.endpointName], ['orders', 'payments']);
  assert.throws(() => parseProxySettings(settings({ inbound: [served], outbound: [] })), { code: 'input-invalid' });
  assert.throws(() => parseServiceSettings(settings({ outbound: [] })), { code: 'input-invalid' });
  assert.throws(() => parseServiceSettings(settings({ inbound: [] })), { code: 'input-invalid' });
  assert.throws(() => parseServiceSettings(settings({ inbound: [served, served], outbound: [] })), /each endpoint once/);
  assert.throws(() => parseServiceSettings(settings({ inbound: [], outbound: [called, called] })), /each endpoint once/);
});
