import { createHash } from 'node:crypto';
import { createRegistry, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { ListenerSchema } from '../../core/messages/generated/envoy/config/listener/v3/listener_pb.ts';
import { ExpressionFilterSchema } from '../../core/messages/generated/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.ts';
import {
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from '../../core/messages/generated/envoy/extensions/access_loggers/grpc/v3/als_pb.ts';
import { BufferSchema } from '../../core/messages/generated/envoy/extensions/filters/http/buffer/v3/buffer_pb.ts';
import { LocalRateLimitSchema } from '../../core/messages/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import { RBACSchema } from '../../core/messages/generated/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import { RouterSchema } from '../../core/messages/generated/envoy/extensions/filters/http/router/v3/router_pb.ts';
import { ProxyProtocolSchema } from '../../core/messages/generated/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.ts';
import { TlsInspectorSchema } from '../../core/messages/generated/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { ConnectionLimitSchema } from '../../core/messages/generated/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts';
import { HttpConnectionManagerSchema } from '../../core/messages/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { TcpProxySchema } from '../../core/messages/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { HeaderMutationSchema } from '../../core/messages/generated/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.ts';
import { RawBufferSchema } from '../../core/messages/generated/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts';
import { DownstreamTlsContextSchema } from '../../core/messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';

/**
 * The digest of a listener as Envoy shows it, made as that of a compiled one; null for what is none of ours. Where only filter chains change
 * Envoy updates a port in place, and goes on to show the version that it began with: what it runs is to be read from the content.
 */
export function digestOfListener(shown: unknown): string | null {
  try {
    const message = fromJson(ListenerSchema, withoutType(shown), { registry, ignoreUnknownFields: false });
    return createHash('sha256').update(toBinary(ListenerSchema, message)).digest('hex').slice(0, DIGEST_CHARACTERS);
  } catch {
    return null;
  }
}

function withoutType(shown: unknown): JsonValue {
  const { '@type': _, ...fields } = shown as { readonly [field: string]: JsonValue };
  return fields;
}

/** All that a listener of ours is extended by. */
const registry = createRegistry(
  BufferSchema,
  ConnectionLimitSchema,
  DownstreamTlsContextSchema,
  ExpressionFilterSchema,
  HeaderMutationSchema,
  HttpConnectionManagerSchema,
  HttpGrpcAccessLogConfigSchema,
  LocalRateLimitSchema,
  ProxyProtocolSchema,
  RawBufferSchema,
  RBACSchema,
  RouterSchema,
  TcpGrpcAccessLogConfigSchema,
  TcpProxySchema,
  TlsInspectorSchema,
);
/** As `envoyResource` cuts it. */
const DIGEST_CHARACTERS = 32;
