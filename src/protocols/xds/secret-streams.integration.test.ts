import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { ada, place, trustDomain } from '../../../test/support/authorities.ts';
import { startEnvoy, withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { KEYS, NO_KEYS, openSecretLab } from '../../../test/support/secret-lab.ts';
import { XdsClient } from '../../../test/support/xds-client.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import { suspendIdentity } from '../../control/ca/suspend-identity.ts';
import { type Secret, SecretSchema } from '../../core/messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { SecretDiscoveryService } from '../../core/messages/generated/envoy/service/secret/v3/sds_pb.ts';
import { SECRET_TYPE, TRUST_BUNDLE_TYPE } from '../../core/messages/type-urls.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { RpcConnection } from '../../dataplane/link/rpc-connection.ts';

const { deltaSecrets, streamSecrets, fetchSecrets } = SecretDiscoveryService.method;
const openDelta = (connection: RpcConnection) =>
  new XdsClient<Partial<DeltaDiscoveryRequest>, DeltaDiscoveryResponse>(connection.stream(deltaSecrets) as never, (init) =>
    create(DeltaDiscoveryRequestSchema, { typeUrl: SECRET_TYPE, ...init } as never),
  );
const openSotw = (connection: RpcConnection) =>
  new XdsClient<Partial<DiscoveryRequest>, DiscoveryResponse>(connection.stream(streamSecrets) as never, (init) =>
    create(DiscoveryRequestSchema, { typeUrl: SECRET_TYPE, ...init } as never),
  );
const text = (source: { readonly specifier: { readonly value?: unknown } } | undefined): string =>
  Buffer.from(source!.specifier.value as Uint8Array).toString();

function pairOf(secret: Secret) {
  assert.ok(secret.type.case === 'tlsCertificate');
  const { certificateChain, privateKey } = secret.type.value;
  return { certificate: new X509Certificate(text(certificateChain)), key: createPrivateKey(text(privateKey)), pem: text(certificateChain) };
}

const secretOf = (value: Uint8Array): Secret => fromBinary(SecretSchema, value);

describe('secrets for an Envoy that others configure', () => {
  test('are its own key and certificate, and whom to trust, by the names of SPIRE', async () => {
    await using lab = await openSecretLab();
    const holder = await lab.holder('edge', KEYS);
    const envoy = openDelta(await lab.connect(holder));
    envoy.say({ resourceNamesSubscribe: ['default', 'ROOTCA', holder.spiffeId, `spiffe://${trustDomain}`, 'nobody'] });
    const found = new Map<string, Secret>();
    const removed: string[] = [];
    while (found.size + removed.length < 5) {
      const response = await envoy.next();
      envoy.say({ responseNonce: response.nonce });
      for (const { name, resource } of response.resources) found.set(name, secretOf(resource!.value));
      removed.push(...response.removedResources);
    }
    assert.deepEqual(removed, ['nobody']);
    const { certificate, key } = pairOf(found.get('default')!);
    assert.ok(certificate.checkPrivateKey(key));
    assert.equal(certificate.subjectAltName, `URI:${holder.spiffeId}`);
    assert.notEqual(certificate.serialNumber.toLowerCase(), holder.issued.serialHex);
    assert.equal(pairOf(found.get(holder.spiffeId)!).certificate.serialNumber, certificate.serialNumber, 'one key a stream');
    for (const name of ['ROOTCA', `spiffe://${trustDomain}`]) {
      const { type } = found.get(name)!;
      assert.ok(type.case === 'validationContext' && type.value.onlyVerifyLeafCertCrl);
      assert.ok(text(type.value.trustedCa).includes(lab.rootPem.trim()));
      assert.equal(text(type.value.crl).match(/BEGIN X509 CRL/g)?.length, lab.ca.authorities.issuing.length);
    }
    assert.equal(lab.ca.entriesOf('key.delivered').length, 1);
  });

  test('come by all three methods, each key once', async () => {
    await using lab = await openSecretLab();
    const [one, other] = [await lab.holder('edge', KEYS), await lab.holder('inner', KEYS)];
    const sotw = openSotw(await lab.connect(one));
    sotw.say({ resourceNames: ['default'] });
    const streamed = await sotw.next();
    assert.ok(pairOf(secretOf(streamed.resources[0]!.value)).certificate.subjectAltName?.endsWith('/edge'));
    const connection = await lab.connect(other);
    const fetch = (resourceNames: string[]) =>
      connection.call(fetchSecrets, create(DiscoveryRequestSchema, { typeUrl: SECRET_TYPE, resourceNames }));
    const fetched = await fetch(['default', 'ROOTCA', 'nobody']);
    assert.deepEqual(fetched.resources.length, 2);
    assert.ok(pairOf(secretOf(fetched.resources[0]!.value)).certificate.subjectAltName?.endsWith('/inner'));
    await assert.rejects(fetch(['default']), { code: 'rate-limited' });
    await assert.rejects(fetch([one.spiffeId]), { code: 'forbidden' });
    assert.equal(lab.ca.entriesOf('key.delivered').length, 2);
  });

  test('hold no key where the profile does not say so: it is absent, and whom to trust is not', async () => {
    await using lab = await openSecretLab();
    const envoy = openDelta(await lab.connect(await lab.holder('edge', NO_KEYS)));
    envoy.say({ resourceNamesSubscribe: ['default', 'ROOTCA'] });
    const response = await envoy.next();
    assert.deepEqual([response.resources.map(({ name }) => name), response.removedResources], [['ROOTCA'], ['default']]);
    assert.equal(lab.ca.entriesOf('key.delivered').length, 0);
  });

  test('are replaced by push before they end, and whom to trust when somebody was revoked', async () => {
    await using lab = await openSecretLab({ replacedAfterMs: 200 });
    const holder = await lab.holder('edge', KEYS);
    const envoy = openDelta(await lab.connect(holder));
    envoy.say({ resourceNamesSubscribe: ['default'] });
    const first = await envoy.next();
    envoy.say({ responseNonce: first.nonce });
    const before = pairOf(secretOf(first.resources[0]!.resource!.value)).certificate;
    lab.clock.advance(60_000);
    const second = await envoy.next();
    envoy.say({ responseNonce: second.nonce, resourceNamesSubscribe: ['ROOTCA'], resourceNamesUnsubscribe: ['default'] });
    const after = pairOf(secretOf(second.resources[0]!.resource!.value)).certificate;
    assert.notEqual(after.serialNumber, before.serialNumber);
    const trusted = await envoy.next();
    envoy.say({ responseNonce: trusted.nonce });
    const other = await lab.holder('inner', NO_KEYS);
    await revokeCertificate(lab.ca, { ...other.issued, reason: 'superseded' }, ada, lab.clock.now());
    await lab.revokedChanged();
    const next = await envoy.next();
    assert.deepEqual(
      next.resources.map(({ name }) => name),
      ['ROOTCA'],
    );
    assert.notEqual(next.resources[0]?.version, trusted.resources[0]?.version);
  });

  test('are refused to strangers, for another identity, and once the certificate shown does not stand', async () => {
    await using lab = await openSecretLab();
    const [holder, other] = [await lab.holder('edge', KEYS), await lab.holder('inner', KEYS)];
    const refusedFor = async (names: string[], connection: RpcConnection): Promise<number | undefined> => {
      const envoy = openDelta(connection);
      envoy.say({ resourceNamesSubscribe: names });
      return (await envoy.ended).code;
    };
    assert.equal(await refusedFor([other.spiffeId], await lab.connect(holder)), status.PERMISSION_DENIED);
    assert.equal(await refusedFor(['spiffe://other.example'], await lab.connect(holder)), status.PERMISSION_DENIED);
    const revoked = await lab.holder('revoked', KEYS);
    await revokeCertificate(lab.ca, { ...revoked.issued, reason: 'keyCompromise' }, ada, lab.clock.now());
    await lab.revokedChanged();
    assert.equal(await refusedFor(['default'], await lab.connect(revoked)), status.PERMISSION_DENIED);
    const open = openDelta(await lab.connect(other));
    open.say({ resourceNamesSubscribe: ['default'] });
    await open.next();
    await suspendIdentity(lab.ca, { spiffeId: other.spiffeId, region: place.region, reason: 'stolen' }, ada, lab.clock.now());
    await lab.revokedChanged();
    assert.equal((await open.ended).code, status.PERMISSION_DENIED);
    assert.equal(await refusedFor(['default'], await lab.connect(other)), status.PERMISSION_DENIED, 'and not by another connection');
    const stolen = openDelta(await lab.connect(holder));
    stolen.say({ resourceNamesSubscribe: ['default'] });
    await stolen.next();
    await revokeCertificate(lab.ca, { ...holder.issued, reason: 'keyCompromise' }, ada, lab.clock.now());
    await lab.revokedChanged();
    assert.equal((await stolen.ended).code, status.PERMISSION_DENIED, 'an open stream');
    assert.equal(lab.ca.entriesOf('key.delivered').length, 2);
  });

  test('are all that an identity which is no data plane gets', async () => {
    await using lab = await openSecretLab();
    const connection = await lab.connect(await lab.holder('edge', KEYS));
    const stream = connection.stream(AggregatedDiscoveryService.method.deltaAggregatedResources);
    stream.write(create(DeltaDiscoveryRequestSchema, { typeUrl: TRUST_BUNDLE_TYPE }));
    const [error] = await once(stream, 'error');
    assert.equal(error.code, status.UNIMPLEMENTED, 'this lab mounts secrets alone');
    const envoy = openDelta(connection);
    envoy.say({ typeUrl: TRUST_BUNDLE_TYPE, resourceNamesSubscribe: [trustDomain] });
    const answer = await envoy.next();
    assert.deepEqual([answer.resources.length, answer.removedResources], [0, [trustDomain]]);
  });
});

test('a real Envoy with a configuration of its own serves with what it is given', { skip: withoutEnvoy }, async () => {
  await using lab = await openSecretLab();
  const holder = await lab.holder('edge', KEYS);
  const folder = await mkdtemp(join(tmpdir(), 'countersign-third-'));
  const [port, admin] = [await freePort(), await freePort()];
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem'), root: join(folder, 'root.pem') };
  await writeFile(files.cert, holder.issued.chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
  await writeFile(files.key, holder.key.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(files.root, lab.ca.authorities.roots.map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
  const bootstrap = join(folder, 'envoy.json');
  await writeFile(bootstrap, JSON.stringify(thirdPartyBootstrap({ port, admin, control: lab.control.port, files })));
  await using _envoy = startEnvoy(bootstrap);
  const call = async (cert?: string, key?: string): Promise<string> => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...(cert === undefined ? {} : { cert, key }) });
    let seen = '';
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'));
    socket.on(
      'data',
      (chunk: Buffer) => (seen += `${socket.getPeerCertificate().subjectaltname} ${chunk.toString('latin1').slice(0, 12)}`),
    );
    socket.on('error', () => {});
    await new Promise((resolve) => socket.on('close', resolve));
    return seen;
  };
  const client = await lab.holder('client', NO_KEYS);
  const shown = [
    client.issued.chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    client.key.export({ type: 'pkcs8', format: 'pem' }) as string,
  ] as const;
  for (
    const deadline = Date.now() + 15_000;
    (await call(...shown)) !== `URI:${holder.spiffeId} HTTP/1.1 200`;
    await new Promise((resolve) => setTimeout(resolve, 50))
  )
    assert.ok(Date.now() < deadline, 'it serves in time');
  assert.equal(await call(), '');
  await revokeCertificate(lab.ca, { ...client.issued, reason: 'keyCompromise' }, ada, lab.clock.now());
  await lab.revokedChanged();
  for (const deadline = Date.now() + 5_000; (await call(...shown)) !== ''; await new Promise((resolve) => setTimeout(resolve, 20)))
    assert.ok(Date.now() < deadline, 'who was revoked is refused in time');
  await rm(folder, { recursive: true });
});

const typed = (type: string, config: object) => ({ '@type': `type.googleapis.com/${type}`, ...config });
const address = (port_value: number) => ({ socket_address: { address: '127.0.0.1', port_value } });
const secret = (name: string) => ({
  name,
  sds_config: {
    resource_api_version: 'V3',
    api_config_source: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'sds' } }] },
  },
});

/** As somebody would write it who runs Envoy by himself. */
function thirdPartyBootstrap(options: {
  readonly port: number;
  readonly admin: number;
  readonly control: number;
  readonly files: { readonly cert: string; readonly key: string; readonly root: string };
}): object {
  const { port, admin, control, files } = options;
  const http = typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'edge',
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] }],
    },
    http_filters: [{ name: 'router', typed_config: typed('envoy.extensions.filters.http.router.v3.Router', {}) }],
  });
  const tls = typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    require_client_certificate: true,
    common_tls_context: { tls_certificate_sds_secret_configs: [secret('default')], validation_context_sds_secret_config: secret('ROOTCA') },
  });
  const upstreamTls = typed('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
    max_session_keys: 0,
    common_tls_context: {
      tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
      alpn_protocols: ['h2'],
      tls_certificates: [{ certificate_chain: { filename: files.cert }, private_key: { filename: files.key } }],
      validation_context: {
        trusted_ca: { filename: files.root },
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { suffix: '/countersign/control-plane' } }],
      },
    },
  });
  const options2 = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    node: { id: 'edge', cluster: 'edge' },
    admin: { address: address(admin) },
    static_resources: {
      listeners: [
        {
          name: 'edge',
          address: address(port),
          filter_chains: [{ transport_socket: { name: 'tls', typed_config: tls }, filters: [{ name: 'http', typed_config: http }] }],
        },
      ],
      clusters: [
        {
          name: 'sds',
          type: 'STATIC',
          load_assignment: { cluster_name: 'sds', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(control) } }] }] },
          typed_extension_protocol_options: { [options2]: typed(options2, { explicit_http_config: { http2_protocol_options: {} } }) },
          transport_socket: { name: 'tls', typed_config: upstreamTls },
        },
      ],
    },
  };
}
