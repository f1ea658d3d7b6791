import { create, fromBinary } from '@bufbuild/protobuf';
import { anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import type { EnvoyResources } from '../../src/core/envoy/compile-envoy.ts';
import { adsSecret } from '../../src/core/envoy/config-source.ts';
import { envoyResource } from '../../src/core/envoy/envoy-resource.ts';
import { DataSourceSchema } from '../../src/core/messages/generated/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../../src/core/messages/generated/envoy/config/listener/v3/listener_pb.ts';
import {
  type CertificateValidationContext,
  TlsCertificateSchema,
} from '../../src/core/messages/generated/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import {
  type Secret,
  SecretSchema,
  SdsSecretConfigSchema,
} from '../../src/core/messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import {
  type CommonTlsContext,
  DownstreamTlsContextSchema,
} from '../../src/core/messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import type { TestAuthority } from './test-authority.ts';

type Spoil = (resources: EnvoyResources) => EnvoyResources;

/** Resources as nobody ought to send them, each of one kind. */
export const spoiled = {
  crl: spoilTrust((context) => (context.crl = inline('-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n'))),
  /** Envoy takes this one, and lets nobody in any more. */
  emptyCrl: spoilTrust((context) => (context.crl = inline('no list'))),
  authority: spoilTrust((context) => (context.trustedCa = inline('no certificate'))),
  /** A certificate in the place of what callers are trusted by, with the key of another. */
  key: (authority: TestAuthority): Spoil =>
    spoilSecrets((secret) => {
      const [one, other] = [authority.issue({ dnsNames: ['a.test'] }), authority.issue({ dnsNames: ['b.test'] })];
      const certificateChain = inline(one.chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
      const privateKey = inline(other.key.export({ type: 'pkcs8', format: 'pem' }) as string);
      secret.type = { case: 'tlsCertificate', value: create(TlsCertificateSchema, { certificateChain, privateKey }) };
    }),
  group: spoilTls((tls) => (tls.tlsParams!.ecdhCurves = ['X448'])),
  absent: spoilTls((tls) => {
    tls.validationContextType = { case: 'validationContextSdsSecretConfig', value: create(SdsSecretConfigSchema, adsSecret('absent')) };
  }),
};

function spoilTrust(change: (context: CertificateValidationContext) => void): Spoil {
  return spoilSecrets(({ type }) => type.case === 'validationContext' && change(type.value));
}

function spoilSecrets(change: (secret: Secret) => unknown): Spoil {
  return (resources) => ({
    ...resources,
    secrets: resources.secrets.map(({ name, octets }) => {
      const secret = fromBinary(SecretSchema, octets);
      change(secret);
      return envoyResource(SecretSchema, name, secret);
    }),
  });
}

function spoilTls(change: (tls: CommonTlsContext) => void): Spoil {
  return (resources) => ({
    ...resources,
    listeners: resources.listeners.map(({ name, octets }) => {
      const listener = fromBinary(ListenerSchema, octets);
      for (const { transportSocket } of listener.filterChains) {
        const config = transportSocket?.configType;
        const tls = config?.case === 'typedConfig' ? anyUnpack(config.value, DownstreamTlsContextSchema) : undefined;
        if (tls?.commonTlsContext === undefined) continue;
        change(tls.commonTlsContext);
        transportSocket!.configType = { case: 'typedConfig', value: anyPack(DownstreamTlsContextSchema, tls) };
      }
      return envoyResource(ListenerSchema, name, listener);
    }),
  });
}

function inline(text: string) {
  return create(DataSourceSchema, { specifier: { case: 'inlineBytes', value: new Uint8Array(Buffer.from(text)) } });
}
