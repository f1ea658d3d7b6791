import type { FilterSchema } from '../messages/generated/envoy/config/listener/v3/listener_components_pb.ts';
import { TcpProxySchema, UpstreamConnectMode } from '../messages/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { connectionLog } from './access-logs.ts';
import { extension, type Init, milliseconds } from './pack.ts';

export type TcpForward = {
  readonly name: string;
  readonly cluster: string;
  readonly idleMs?: number;
  /** What whoever connects has to pass first, before the next hop is connected to for it. */
  readonly after?: 'handshake' | 'first-octets';
};

/**
 * Carries octets both ways. It is told of when it begins; the listener's log tells of its end. The service behind is not connected to for
 * somebody who may be refused yet, and when it is, the log knows who came.
 */
export function tcpForward({ name, cluster, idleMs = IDLE_MS, after }: TcpForward): Init<typeof FilterSchema> {
  return extension('envoy.filters.network.tcp_proxy', TcpProxySchema, {
    statPrefix: name,
    clusterSpecifier: { case: 'cluster', value: cluster },
    idleTimeout: milliseconds(idleMs),
    maxConnectAttempts: 3,
    ...(after === undefined ? {} : { upstreamConnectMode: connectModes[after], maxEarlyDataBytes: EARLY_OCTETS }),
    accessLog: [connectionLog(null)],
    accessLogOptions: { flushAccessLogOnConnected: true },
  });
}

const connectModes = {
  handshake: UpstreamConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE,
  'first-octets': UpstreamConnectMode.ON_DOWNSTREAM_DATA,
} as const;
const IDLE_MS = 3_600_000;
/** What a caller sends while the service is connected to; past it nothing more is read. */
const EARLY_OCTETS = 16_384;
