import type { FilterSchema } from '../messages/generated/envoy/config/listener/v3/listener_components_pb.ts';
import { TcpProxySchema } from '../messages/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { connectionLog } from './access-logs.ts';
import { extension, type Init, milliseconds } from './pack.ts';

export type TcpForward = { readonly name: string; readonly cluster: string; readonly idleMs?: number };

/** Carries octets both ways. It is told of when it begins; the listener's log tells of its end. */
export function tcpForward({ name, cluster, idleMs = IDLE_MS }: TcpForward): Init<typeof FilterSchema> {
  return extension('envoy.filters.network.tcp_proxy', TcpProxySchema, {
    statPrefix: name,
    clusterSpecifier: { case: 'cluster', value: cluster },
    idleTimeout: milliseconds(idleMs),
    maxConnectAttempts: 3,
    accessLog: [connectionLog(null)],
    accessLogOptions: { flushAccessLogOnConnected: true },
  });
}

const IDLE_MS = 3_600_000;
