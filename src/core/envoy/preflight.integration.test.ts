import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { fullName, makeList } from '../../../test/support/make-certificate-list.ts';
import { callOverTls, clientOptions, inboundTo, loopback, outboundTo, STOREFRONT } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { DataSourceSchema } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import { Origination } from '../messages/generated/countersign/v1/settings_pb.ts';
import { ClusterSchema } from '../messages/generated/envoy/config/cluster/v3/cluster_pb.ts';
import { ListenerSchema } from '../messages/generated/envoy/config/listener/v3/listener_pb.ts';
import type { CertificateValidationContext } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import { SecretSchema } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import {
  type CommonTlsContext,
  type CommonTlsContext_CombinedCertificateValidationContext,
  type DownstreamTlsContext,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import { encodePem } from '../x509/pem.ts';
import type { EnvoyResources } from './compile-envoy.ts';
import { type EnvoyResource, envoyResource } from './envoy-resource.ts';
import { preflight } from './preflight.ts';
import { secretFault } from './secret-fault.ts';

describe('preflight', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start();
  });
  after(() => bench[Symbol.asyncDispose]());

  const good = (): EnvoyResources =>
    bench.compile({
      inbound: [inboundTo(bench.origin.port, 'enforce', { listen: loopback(bench.port) } as Parameters<typeof inboundTo>[2])],
    });
  const serves = async () =>
    (await callOverTls(bench.port, clientOptions(bench.lab.authority.issue({ uris: [STOREFRONT] })))).text.startsWith('HTTP/1.1 200 ');

  it('finds nothing wrong with what is compiled, and Envoy neither', async () => {
    assert.deepEqual(preflight(Date.now(), good()), []);
    assert.deepEqual(await bench.envoy.apply(good()), []);
    assert.ok(await serves());
  });

  const listOf = (more: Parameters<typeof makeList>[1]) => {
    const { issuing, issuingKey } = bench.lab.authority;
    const times = { thisUpdate: Date.now() - 7_200_000, nextUpdate: Date.now() + 3_600_000 };
    return pem('X509 CRL', makeList({ name: issuing.subject, key: issuingKey }, { ...times, ...more }).der);
  };

  /** Envoy answers with a NACK, and what it had goes on. */
  const refused: readonly (readonly [what: string, reason: RegExp, broken: (resources: EnvoyResources) => EnvoyResources, nack: RegExp])[] =
    [
      [
        'a group that it does not know',
        /group "X448"/,
        withTls(({ commonTlsContext }) => void (commonTlsContext!.tlsParams!.ecdhCurves = ['X448'])),
        /ECDH curves/,
      ],
      [
        'suites that it does not know',
        /suite "RC4-MD5"/,
        withTls(({ commonTlsContext }) => void (commonTlsContext!.tlsParams!.cipherSuites = ['RC4-MD5'])),
        /cipher/,
      ],
      ['a CRL that is none', /^CRL: /, withContext((context) => void (context.crl = source(garbage('X509 CRL')))), /CRL/],
      [
        'an authority that is none',
        /^trusted CA: /,
        withContext((context) => void (context.trustedCa = source(garbage('CERTIFICATE')))),
        /trusted CA/,
      ],
      [
        'no authority',
        /^trusted CA: it holds no certificate/,
        withContext((context) => void (context.trustedCa = source(Buffer.from('nothing')))),
        /trusted CA/,
      ],
    ];
  for (const [what, reason, broken, nack] of refused) {
    it(`finds ${what}, which Envoy refuses while it goes on with what it had`, async () => {
      assert.deepEqual(await bench.envoy.apply(good()), []);
      const resources = broken(good());
      const faults = preflight(Date.now(), resources);
      assert.equal(faults.length, 1);
      assert.match(faults[0]!.reason, reason);
      const nacks = await bench.envoy.apply(resources);
      assert.deepEqual(
        nacks.map(({ names }) => names),
        [[faults[0]!.resource.name]],
      );
      assert.match(nacks[0]!.message, nack);
      assert.ok(await serves());
    });
  }

  /** Envoy takes these without a word, and refuses every caller. */
  const deadly: readonly (readonly [what: string, reason: RegExp, broken: (resources: EnvoyResources) => EnvoyResources])[] = [
    [
      'a CRL that is over',
      /^CRL: one is over/,
      withContext(
        (context) => void (context.crl = source(listOf({ thisUpdate: Date.now() - 17_000_000, nextUpdate: Date.now() - 3_600_000 }))),
      ),
    ],
    [
      'a CRL of another authority alone',
      /^CRL: there is none of the authority/,
      withContext((context) => void (context.crl = source(otherList()))),
    ],
    [
      'a CRL for a part of the certificates',
      /^CRL: one is for a part/,
      withContext(
        (context) => void (context.crl = source(listOf({ scope: { name: fullName({ uri: ['http://pki.example/crl/3.crl'] }) } }))),
      ),
    ],
  ];
  for (const [what, reason, broken] of deadly) {
    it(`finds ${what}, which Envoy takes and then lets nobody in`, async () => {
      const resources = broken(good());
      const faults = preflight(Date.now(), resources);
      assert.equal(faults.length, 1);
      assert.match(faults[0]!.reason, reason);
      assert.deepEqual(await bench.envoy.apply(resources), []);
      await bench.envoy.until(async () => !(await serves()), 'nobody is let in');
    });
  }

  it('finds a validation context without names, with which Envoy lets every identity of the authority in', async () => {
    const resources = withContext((context) => void (context.matchTypedSubjectAltNames = []))(good());
    assert.match(preflight(Date.now(), resources)[0]!.reason, /^names: there is none/);
    assert.deepEqual(await bench.envoy.apply(resources), []);
    const anybody = await callOverTls(
      bench.port,
      clientOptions(bench.lab.authority.issue({ uris: ['spiffe://acme.example/test/anybody'] })),
    );
    // It gets through the handshake; the rules of calls stand behind it.
    assert.match(anybody.text, /^HTTP\/1\.1 403 /);
  });

  it('finds what a port names and nobody has, for which Envoy would keep it closed', () => {
    const { secrets: _secrets, ...others } = good();
    assert.match(preflight(Date.now(), { ...others, secrets: [] })[0]!.reason, /^chain \S+: its secret cs\|trust\|inbound\S+ is absent$/);
    assert.match(preflight(Date.now(), { ...good(), routes: [] })[0]!.reason, /^chain \S+: its routes cs\|inbound\S+ are absent$/);
    assert.match(preflight(Date.now(), { ...good(), endpoints: [] })[0]!.reason, /^its endpoints cs\|inbound\S+ are absent$/);
    assert.match(preflight(Date.now(), { ...good(), clusters: [] })[0]!.reason, /^its cluster cs\|inbound\S+ is absent$/);
  });

  it('gives all ways to servers of the fleet one secret, and finds a way that does not say who the server has to be', () => {
    const ways = ['endpoint_01j00000000000000000000001', 'endpoint_01j00000000000000000000002'].map((endpointId) =>
      outboundTo([bench.origin.port], Origination.MTLS, { endpointId } as Parameters<typeof outboundTo>[2]),
    );
    const resources = bench.compile({ outbound: ways });
    assert.deepEqual(
      resources.secrets.map(({ name }) => name),
      ['cs|trust|servers'],
    );
    assert.deepEqual(preflight(Date.now(), resources), []);
    const reasons = (change: (context: CommonTlsContext) => void) =>
      preflight(Date.now(), { ...resources, clusters: resources.clusters.map((cluster) => withServer(cluster, change)) }).map(
        ({ reason }) => reason,
      );
    const nameless = ['nothing says which names the server may have', 'nothing says which names the server may have'];
    assert.deepEqual(
      reasons(({ validationContextType: { value } }) => {
        (value as CommonTlsContext_CombinedCertificateValidationContext).defaultValidationContext!.matchTypedSubjectAltNames = [];
      }),
      nameless,
    );
    assert.deepEqual(
      reasons((context) => {
        const { value } = context.validationContextType;
        const secret = (value as CommonTlsContext_CombinedCertificateValidationContext).validationContextSdsSecretConfig!;
        context.validationContextType = { case: 'validationContextSdsSecretConfig', value: secret };
      }),
      nameless,
    );
    assert.deepEqual(
      reasons((context) => void (context.validationContextType = { case: undefined })),
      ['nothing says who the server has to be', 'nothing says who the server has to be'],
    );
    assert.deepEqual(
      preflight(Date.now(), { ...resources, secrets: [] }).map(({ reason }) => reason),
      ['its secret cs|trust|servers is absent', 'its secret cs|trust|servers is absent'],
    );
  });

  it('finds what is no message, and what is too large', () => {
    const [listener] = good().listeners;
    const cut = { ...listener!, octets: listener!.octets.subarray(0, -3) };
    assert.match(preflight(Date.now(), { ...good(), listeners: [cut] })[0]!.reason, /^it cannot be read: /);
    const large = { ...listener!, octets: new Uint8Array(17_000_000) };
    assert.match(preflight(Date.now(), { ...good(), listeners: [large] })[0]!.reason, /^17000000 octets, at most /);
  });

  it('secretFault() finds a key of another certificate, and what is no key, without naming either', () => {
    const [a, b] = [bench.lab.authority.issue({ uris: [STOREFRONT] }), bench.lab.authority.issue({ uris: [STOREFRONT] })];
    const key = b.key.export({ type: 'pkcs8', format: 'pem' }) as string;
    const fault = (privateKey: string, chain = pem('CERTIFICATE', a.certificate.der)) =>
      secretFault(
        Date.now(),
        octetsOf({ case: 'tlsCertificate', value: { certificateChain: source(chain), privateKey: source(Buffer.from(privateKey)) } }),
      );
    assert.equal(fault(a.key.export({ type: 'pkcs8', format: 'pem' }) as string), null);
    assert.equal(fault(key), 'private key: it is of another certificate');
    assert.equal(fault('nothing'), 'private key: it cannot be read');
    assert.equal(fault(key, Buffer.from('nothing')), 'certificate chain: it holds no certificate');
    assert.match(fault(key, garbage('CERTIFICATE')) ?? '', /^certificate chain: /);
    assert.deepEqual([tickets(80), tickets(48)], [null, 'session ticket keys: one has 48 octets, not 80']);
  });
});

function garbage(label: string): Uint8Array {
  return pem(label, Uint8Array.of(0x30, 3, 2, 1, 5));
}

function tickets(octets: number): string | null {
  return secretFault(Date.now(), octetsOf({ case: 'sessionTicketKeys', value: { keys: [source(new Uint8Array(octets))] } }));
}

function otherList(): Uint8Array {
  const { issuing, issuingKey } = makeTestAuthority(Date.now(), 'Other');
  return pem(
    'X509 CRL',
    makeList({ name: issuing.subject, key: issuingKey }, { thisUpdate: Date.now() - 1_000, nextUpdate: Date.now() + 3_600_000 }).der,
  );
}

function pem(label: string, der: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.from(encodePem(label, der)));
}

function source(value: Uint8Array) {
  return create(DataSourceSchema, { specifier: { case: 'inlineBytes', value: new Uint8Array(value) } });
}

function octetsOf(type: NonNullable<MessageInitShape<typeof SecretSchema>['type']>): Uint8Array {
  return toBinary(SecretSchema, create(SecretSchema, { name: 'own', type }));
}

/** The same with the one message of this type changed. */
function changed<D extends DescMessage>(schema: D, resource: EnvoyResource, change: (message: MessageShape<D>) => void): EnvoyResource {
  const message = fromBinary(schema, resource.octets);
  change(message);
  return envoyResource(schema, resource.name, message);
}

function withContext(change: (context: CertificateValidationContext) => void) {
  return (resources: EnvoyResources): EnvoyResources => ({
    ...resources,
    secrets: resources.secrets.map((secret) =>
      changed(SecretSchema, secret, ({ type }) => void (type.case === 'validationContext' && change(type.value))),
    ),
  });
}

function withServer(cluster: EnvoyResource, change: (context: CommonTlsContext) => void): EnvoyResource {
  return changed(ClusterSchema, cluster, ({ transportSocket }) => {
    const config = transportSocket!.configType;
    const context = anyUnpack(config.value as Any, UpstreamTlsContextSchema)!;
    change(context.commonTlsContext!);
    config.value = anyPack(UpstreamTlsContextSchema, context);
  });
}

function withTls(change: (context: DownstreamTlsContext) => void) {
  return (resources: EnvoyResources): EnvoyResources => ({
    ...resources,
    listeners: resources.listeners.map((listener) =>
      changed(ListenerSchema, listener, ({ filterChains }) => {
        const config = filterChains[0]!.transportSocket!.configType;
        const context = anyUnpack(config.value as Any, DownstreamTlsContextSchema)!;
        change(context);
        config.value = anyPack(DownstreamTlsContextSchema, context);
      }),
    ),
  });
}
