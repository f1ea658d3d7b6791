import { create, toBinary } from '@bufbuild/protobuf';
import { createHash } from 'node:crypto';
import { PROBE_ALPN } from '../findings/drill-kind.ts';
import { type Inbound, Termination } from '../messages/generated/countersign/v1/settings_pb.ts';
import { TrafficDirection } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import type { FilterChainSchema, FilterSchema } from '../messages/generated/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../messages/generated/envoy/config/listener/v3/listener_pb.ts';
import { formatAccessLogName } from './access-log-name.ts';
import { connectionLog } from './access-logs.ts';
import type { CallerRules } from './caller-rules.ts';
import { certificatesMark } from './certificates-mark.ts';
import { endpointClusterName, serviceClusterName } from './cluster.ts';
import type { EnvoyInput } from './compile-input.ts';
import { connectionLimit } from './connection-limit.ts';
import { envoyAddress, listenerName } from './envoy-address.ts';
import { digestOf, encodedResource, type EnvoyResource } from './envoy-resource.ts';
import { httpManager } from './http-manager.ts';
import { type InboundChannel, probeChainName } from './inbound-routes.ts';
import { joinedMessage } from './joined-message.ts';
import { proxyProtocolFilter, tlsInspector } from './listener-filters.ts';
import { type Init, milliseconds } from './pack.ts';
import { envoyProtocol } from './protocol-name.ts';
import { tcpForward } from './tcp-forward.ts';
import { sharedPart } from './shared-part.ts';
import { downstreamTls, plaintextSocket } from './tls-context.ts';
import { foreignTrustMark } from './trust-secret.ts';

type FilterChain = Init<typeof FilterChainSchema>;
type Filter = Init<typeof FilterSchema>;

/** Behind an open door, the clear and TLS side by side on one port; behind a closed one TLS that demands a certificate. */
export function channelsOf({ door }: CallerRules): readonly InboundChannel[] {
  return door === 'open' ? ['plaintext', 'tls'] : ['mtls'];
}

/** The port of an endpoint whose TLS ends at Envoy. Null if it has no address. */
export function inboundListener(input: EnvoyInput, inbound: Inbound, rules: CallerRules): EnvoyResource | null {
  const address = envoyAddress(inbound.listen);
  if (address === null) return null;
  const name = listenerName(inbound.listen);
  const place = toBinary(ListenerSchema, create(ListenerSchema, { name, address }));
  const mark = admissionMark(rules, input);
  const { octets } = sharedPart('listener', input, inbound, () => ({ octets: portOf(inbound, rules, mark) }));
  const both = joinedMessage(place, octets);
  const unmarked = Buffer.from(both).toString('latin1').replaceAll(mark, '');
  return { ...encodedResource(ListenerSchema, name, both), base: digestOf(Buffer.from(unmarked, 'latin1')) };
}

/** What a port is, wherever it listens. */
function portOf(inbound: Inbound, rules: CallerRules, mark: string): Uint8Array {
  const protocol = envoyProtocol(inbound.protocol);
  const tag = formatAccessLogName({ side: 'inbound', endpointId: inbound.endpointId, channel: 'listener', protocol });
  // Where the server of a protocol speaks first, a caller in the clear waits for it in silence.
  const waitsForServer = protocol === 'tcp' && rules.door === 'open';
  const message = create(ListenerSchema, {
    statPrefix: tag,
    trafficDirection: TrafficDirection.INBOUND,
    filterChains: [...channelsOf(rules).map((channel) => chainOf(inbound, channel, mark)), ...probeChain(inbound, rules)],
    listenerFilters: [...proxyProtocolFilter(inbound.proxyProtocolFrom), tlsInspector()],
    listenerFiltersTimeout: milliseconds(waitsForServer ? SILENT_MS : FIRST_OCTETS_MS),
    continueOnListenerFiltersTimeout: waitsForServer,
    perConnectionBufferLimitBytes: BUFFER_OCTETS,
    accessLog: [connectionLog(tag)],
  });
  return toBinary(ListenerSchema, message);
}

function chainOf(inbound: Inbound, channel: InboundChannel, mark: string): FilterChain {
  const protocol = envoyProtocol(inbound.protocol);
  const name = formatAccessLogName({ side: 'inbound', endpointId: inbound.endpointId, channel, protocol });
  return {
    name,
    filterChainMatch: { transportProtocol: channel === 'plaintext' ? 'raw_buffer' : 'tls' },
    transportSocket: channel === 'plaintext' ? plaintextSocket() : downstreamTls(inbound, { channel, protocol }),
    transportSocketConnectTimeout: milliseconds(HANDSHAKE_MS),
    filters: [connectionLimit(name, inbound.maximumConnections), lastFilter(inbound, name, channel)],
    ...(channel === 'plaintext' ? {} : { metadata: { filterMetadata: { countersign: { admitted: mark } } } }),
  };
}

/** On a stream nobody can be answered: the prober of a port of raw TCP says by ALPN that it is no caller. */
function probeChain(inbound: Inbound, { probe }: CallerRules): readonly FilterChain[] {
  if (envoyProtocol(inbound.protocol) !== 'tcp' || probe === null) return [];
  const name = probeChainName(inbound.endpointId);
  return [
    {
      name,
      filterChainMatch: { transportProtocol: 'tls', applicationProtocols: [PROBE_ALPN] },
      transportSocket: downstreamTls(inbound, { channel: 'probe', protocol: 'http' }),
      transportSocketConnectTimeout: milliseconds(HANDSHAKE_MS),
      filters: [httpManager({ name, protocol: 'http', isInbound: true, limits: null })],
    },
  ];
}

function lastFilter(inbound: Inbound, name: string, channel: InboundChannel): Filter {
  const protocol = envoyProtocol(inbound.protocol);
  if (protocol !== 'tcp') return httpManager({ name, protocol, isInbound: true, limits: channel === 'mtls' ? inbound : null });
  const { termination, nextHop } = inbound;
  const cluster =
    termination === Termination.REENCRYPT && nextHop !== undefined ? endpointClusterName(nextHop) : serviceClusterName(inbound);
  return tcpForward({ name, cluster, ...(channel === 'plaintext' ? {} : { after: 'handshake' }) });
}

/**
 * Of a stream there is no next call that could be refused, be it a WebSocket, a call of gRPC or raw TCP: what ends it is that its chain is another one, from which
 * Envoy drains all connections within its drain time. So it is another one when somebody who may be on it falls, and where strangers are refused when somebody is no
 * caller any more: whoever is taken away first and revoked afterwards is among nobody's callers by then. Another trust domain revokes by what it leaves out of its bundle.
 */
function admissionMark(rules: CallerRules, input: EnvoyInput): string {
  const { callers, refusedSuspended, unprovedSuspended, strangers } = rules;
  const suspended = [...refusedSuspended, ...unprovedSuspended].toSorted();
  const hash = createHash('sha256').update(
    `${certificatesMark(input.revoked, [...callers, ...suspended])}\n${foreignTrustMark(input, callers)}\n`,
  );
  for (const caller of suspended) hash.update(`suspended ${caller}\n`);
  for (const line of strangers === 'refused' ? [strangers, ...callers] : []) hash.update(`admitted ${line}\n`);
  return hash.digest('hex').slice(0, MARK_CHARACTERS);
}

const MARK_CHARACTERS = 16;
const FIRST_OCTETS_MS = 10_000;
const SILENT_MS = 200;
const HANDSHAKE_MS = 10_000;
const BUFFER_OCTETS = 262_144;
