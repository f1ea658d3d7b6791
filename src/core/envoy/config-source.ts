import { create } from '@bufbuild/protobuf';
import {
  ApiConfigSource_ApiType,
  ApiVersion,
  type ConfigSource,
  ConfigSourceSchema,
} from '../messages/generated/envoy/config/core/v3/config_source_pb.ts';
import type { SdsSecretConfigSchema } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import type { Init } from './pack.ts';

/** The companion's cluster in Envoy's bootstrap: SDS with keys, and access logs, on a Unix socket. */
export const COMPANION_CLUSTER = 'countersign_companion';
/** Of the companion's SDS: the proxy's certificate with its key, and the keys of its session tickets. */
export const IDENTITY_SECRET = 'countersign_identity';
export const TICKET_KEYS_SECRET = 'countersign_ticket_keys';

/** What the control plane sends on Envoy's one stream of ADS. */
export function adsSource(): ConfigSource {
  return create(ConfigSourceSchema, { resourceApiVersion: ApiVersion.V3, configSourceSpecifier: { case: 'ads', value: {} } });
}

/** A secret by ADS: none of these holds a private key. */
export function adsSecret(name: string): Init<typeof SdsSecretConfigSchema> {
  return { name, sdsConfig: adsSource() };
}

/** A secret that the companion beside Envoy has, and nobody else. */
export function companionSecret(name: string): Init<typeof SdsSecretConfigSchema> {
  return {
    name,
    sdsConfig: {
      resourceApiVersion: ApiVersion.V3,
      configSourceSpecifier: {
        case: 'apiConfigSource',
        value: {
          apiType: ApiConfigSource_ApiType.GRPC,
          transportApiVersion: ApiVersion.V3,
          grpcServices: [{ targetSpecifier: { case: 'envoyGrpc', value: { clusterName: COMPANION_CLUSTER } } }],
        },
      },
    },
  };
}
