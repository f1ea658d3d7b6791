import type { Inbound } from '../messages/generated/countersign/v1/settings_pb.ts';
import { HeaderValueOption_HeaderAppendAction } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import type { FilterSchema } from '../messages/generated/envoy/config/listener/v3/listener_components_pb.ts';
import { ExpressionFilterSchema } from '../messages/generated/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.ts';
import { BufferSchema } from '../messages/generated/envoy/extensions/filters/http/buffer/v3/buffer_pb.ts';
import { LocalRateLimitSchema } from '../messages/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import { RBACSchema } from '../messages/generated/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import { RouterSchema } from '../messages/generated/envoy/extensions/filters/http/router/v3/router_pb.ts';
import {
  HttpConnectionManager_CodecType,
  HttpConnectionManager_ForwardClientCertDetails,
  HttpConnectionManager_PathWithEscapedSlashesAction,
  HttpConnectionManager_ServerHeaderTransformation,
  HttpConnectionManagerSchema,
  type HttpFilterSchema,
} from '../messages/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { HeaderMutationSchema } from '../messages/generated/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.ts';
import { callLog } from './access-logs.ts';
import { ADMISSION_FILTER, HOST_FILTER, REVOKED_FILTER, ROUTE_FILTER } from './admission.ts';
import { adsSource } from './config-source.ts';
import { extension, type Init, milliseconds, pack, typedExtension } from './pack.ts';
import { peerFields } from './peer-fields.ts';

type HttpFilter = Init<typeof HttpFilterSchema>;

export type HttpManager = {
  /** Of the chain, and of its routes. */
  readonly name: string;
  readonly protocol: 'http' | 'grpc';
  readonly isInbound: boolean;
  /** What calls are held to where somebody is refused. */
  readonly limits: Pick<Inbound, 'maximumBodyOctets' | 'endpointRate'> | null;
};

/** What speaks HTTP on a chain. All that changes while it runs is in its routes. */
export function httpManager({ name, protocol, isInbound, limits }: HttpManager): Init<typeof FilterSchema> {
  const isGrpc = protocol === 'grpc';
  return extension('envoy.filters.network.http_connection_manager', HttpConnectionManagerSchema, {
    statPrefix: name,
    codecType: isGrpc ? HttpConnectionManager_CodecType.HTTP2 : HttpConnectionManager_CodecType.AUTO,
    routeSpecifier: { case: 'rds', value: { configSource: adsSource(), routeConfigName: name } },
    httpFilters: [...(isInbound ? inboundFilters(name, limits) : []), router()],
    accessLog: [callLog()],
    accessLogOptions: { accessLogFlushInterval: milliseconds(OPEN_STREAM_LOG_MS) },
    // On the clear side there is nobody to name, and a field that arrives is a lie.
    forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails.SANITIZE_SET,
    setCurrentClientCertDetails: { uri: true },
    earlyHeaderMutationExtensions: [earlyMutations(isInbound)],
    commonHttpProtocolOptions: { idleTimeout: milliseconds(IDLE_MS) },
    http2ProtocolOptions: { maxConcurrentStreams: MAXIMUM_STREAMS },
    delayedCloseTimeout: milliseconds(LAST_OCTETS_MS),
    requestHeadersTimeout: milliseconds(HEAD_MS),
    streamIdleTimeout: milliseconds(isGrpc ? GRPC_SILENCE_MS : SILENCE_MS),
    upgradeConfigs: isGrpc || (limits?.maximumBodyOctets ?? 0n) > 0n ? [] : [{ upgradeType: 'websocket' }],
    serverHeaderTransformation: HttpConnectionManager_ServerHeaderTransformation.PASS_THROUGH,
    pathWithEscapedSlashesAction: HttpConnectionManager_PathWithEscapedSlashesAction.KEEP_UNCHANGED,
    generateRequestId: false,
    preserveExternalRequestId: true,
    useRemoteAddress: false,
    skipXffAppend: true,
    localReplyConfig: { mappers: [misdirected()] },
  });
}

/** Each holds what the routes say, and nothing by itself. */
function inboundFilters(name: string, limits: HttpManager['limits']): readonly HttpFilter[] {
  const rbac = [HOST_FILTER, REVOKED_FILTER, ADMISSION_FILTER, ROUTE_FILTER].map((filter) => extension(filter, RBACSchema, {}));
  const body = limits?.maximumBodyOctets ?? 0n;
  const rate = limits?.endpointRate;
  return [
    ...rbac,
    ...(body === 0n ? [] : [extension('countersign.body', BufferSchema, { maxRequestBytes: Number(body) })]),
    ...(rate === undefined ? [] : [rateLimit(name, rate)]),
  ];
}

function rateLimit(statPrefix: string, { perSecond, burst }: NonNullable<Inbound['endpointRate']>): HttpFilter {
  const always = { defaultValue: { numerator: 100 } };
  return extension('countersign.rate', LocalRateLimitSchema, {
    statPrefix,
    tokenBucket: { maxTokens: burst, tokensPerFill: perSecond, fillInterval: milliseconds(1_000) },
    filterEnabled: always,
    filterEnforced: always,
    rateLimitedAsResourceExhausted: true,
  });
}

function router(): HttpFilter {
  return extension('envoy.filters.http.router', RouterSchema, { suppressEnvoyHeaders: true });
}

/** Before a route is chosen: what would tell Envoy how to treat a call is not the caller's to say. */
function earlyMutations(isInbound: boolean) {
  const removed = [...STEERING_FIELDS, ...peerFields.keys()].map((field) => ({ action: { case: 'remove' as const, value: field } }));
  const appendAction = HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD;
  const written = [...peerFields].map(([key, value]) => ({
    action: { case: 'append' as const, value: { header: { key, value }, appendAction } },
  }));
  return typedExtension('envoy.http.early_header_mutation.header_mutation', HeaderMutationSchema, {
    mutations: [...removed, ...(isInbound ? written : [])],
  });
}

/** RFC 9110 section 15.5.20: the call came to the wrong place, and may be sent again on a connection of its own. */
function misdirected() {
  const expression = 'response.code_details == "rbac_access_denied_matched_policy[host-mismatch]"';
  const filter = {
    name: 'envoy.access_loggers.extension_filters.cel',
    configType: { case: 'typedConfig' as const, value: pack(ExpressionFilterSchema, { expression }) },
  };
  return { filter: { filterSpecifier: { case: 'extensionFilter' as const, value: filter } }, statusCode: 421 };
}

const STEERING_FIELDS = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-stream-duration-ms',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-retriable-header-names',
  'x-envoy-retriable-status-codes',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-decorator-operation',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
];
/** The answer says 75 s to callers; a call must not be sent into the end of it. */
const IDLE_MS = 80_000;
const HEAD_MS = 10_000;
const SILENCE_MS = 300_000;
const GRPC_SILENCE_MS = 3_600_000;
/** For what a caller still sends after an answer that ends its connection. */
const LAST_OCTETS_MS = 200;
const OPEN_STREAM_LOG_MS = 5_000;
const MAXIMUM_STREAMS = 1_000;
