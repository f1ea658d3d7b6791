import { type Inbound, Origination, type Outbound } from '../messages/generated/countersign/v1/settings_pb.ts';
import { PROBE_ALPN } from '../findings/drill-kind.ts';
import type { TransportSocketSchema } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import { RawBufferSchema } from '../messages/generated/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts';
import {
  type CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import type { EnvoyProtocol } from './access-log-name.ts';
import { adsSecret, companionSecret, IDENTITY_SECRET, TICKET_KEYS_SECRET } from './config-source.ts';
import { type Init, extension } from './pack.ts';
import { tlsParameters } from './tls-parameters.ts';
import type { EnvoyInput } from './compile-input.ts';
import { inboundTrustName, outboundTrustName, serverNames, SERVERS_TRUST } from './trust-secret.ts';

type TransportSocket = Init<typeof TransportSocketSchema>;
type Validation = NonNullable<Init<typeof CommonTlsContextSchema>['validationContextType']>;

/** How callers of an endpoint are spoken to: `mtls` demands a certificate, `tls` asks for one and takes what comes. */
export function downstreamTls(
  { endpointId, tls }: Inbound,
  { channel, protocol }: { readonly channel: 'tls' | 'mtls' | 'probe'; readonly protocol: EnvoyProtocol },
): TransportSocket {
  return extension('envoy.transport_sockets.tls', DownstreamTlsContextSchema, {
    commonTlsContext: {
      tlsParams: tlsParameters(tls, channel === 'tls' ? 'lenient' : 'strict'),
      tlsCertificateSdsSecretConfigs: [companionSecret(IDENTITY_SECRET)],
      validationContextType: { case: 'validationContextSdsSecretConfig', value: adsSecret(inboundTrustName(endpointId, channel)) },
      alpnProtocols: channel === 'probe' ? [PROBE_ALPN] : [...servedAlpn[protocol]],
    },
    ...(channel !== 'tls'
      ? {
          requireClientCertificate: true,
          sessionTicketKeysType: { case: 'sessionTicketKeysSdsSecretConfig', value: companionSecret(TICKET_KEYS_SECRET) },
        }
      : // Envoy forgets whether the certificate of a resumed session was good: an identity that nobody proved would be told to the service.
        { sessionTicketKeysType: { case: 'disableStatelessSessionResumption', value: true }, disableStatefulSessionResumption: true }),
    sessionTimeout: { seconds: SESSION_SECONDS },
  });
}

/** How an endpoint is spoken to; what Envoy connects with proves who the server is, or fails. */
export function upstreamTls(input: EnvoyInput, outbound: Outbound, protocol: EnvoyProtocol): TransportSocket {
  const { origination, tls, serverName, showsCertificate } = outbound;
  if (origination === Origination.PLAINTEXT) return plaintextSocket();
  const shows = origination === Origination.MTLS || showsCertificate;
  return extension('envoy.transport_sockets.tls', UpstreamTlsContextSchema, {
    commonTlsContext: {
      tlsParams: tlsParameters(tls, 'strict'),
      tlsCertificateSdsSecretConfigs: shows ? [companionSecret(IDENTITY_SECRET)] : [],
      validationContextType: serverValidation(input, outbound),
      alpnProtocols: [...originatedAlpn[protocol]],
    },
    sni: origination === Origination.TLS ? serverName : '',
  });
}

/** Who the server has to be is said of each way by itself, what it has to chain to once for all. */
function serverValidation(input: EnvoyInput, outbound: Outbound): Validation {
  const names = outbound.origination === Origination.MTLS ? serverNames(input, outbound) : null;
  if (names === null) return { case: 'validationContextSdsSecretConfig', value: adsSecret(outboundTrustName(outbound.endpointId)) };
  const value = {
    defaultValidationContext: { matchTypedSubjectAltNames: [...names] },
    validationContextSdsSecretConfig: adsSecret(SERVERS_TRUST),
  };
  return { case: 'combinedValidationContext', value };
}

export function plaintextSocket(): TransportSocket {
  return extension('envoy.transport_sockets.raw_buffer', RawBufferSchema, {});
}

const servedAlpn: { readonly [protocol in EnvoyProtocol]: readonly string[] } = { http: ['h2', 'http/1.1'], grpc: ['h2'], tcp: [] };
/** Between proxies an HTTP/1.1 call stays one. */
const originatedAlpn: { readonly [protocol in EnvoyProtocol]: readonly string[] } = { http: ['http/1.1'], grpc: ['h2'], tcp: [] };
const SESSION_SECONDS = 1_800n;
