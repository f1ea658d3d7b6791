import type { ListenerFilterSchema } from '../messages/generated/envoy/config/listener/v3/listener_components_pb.ts';
import { ProxyProtocolSchema } from '../messages/generated/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts';
import { TlsInspectorSchema } from '../messages/generated/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { extension, type Init } from './pack.ts';

type ListenerFilter = Init<typeof ListenerFilterSchema>;

/** Tells TLS from the clear, and reads the server name. */
export function tlsInspector(): ListenerFilter {
  return extension('envoy.filters.listener.tls_inspector', TlsInspectorSchema, {});
}

/** Who connects says for whom; Envoy asks everybody or nobody. */
export function proxyProtocolFilter(from: readonly string[]): readonly ListenerFilter[] {
  return from.length === 0 ? [] : [extension('envoy.filters.listener.proxy_protocol', ProxyProtocolSchema, {})];
}
