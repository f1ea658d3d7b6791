import type { AccessLogSchema } from '../messages/generated/envoy/config/accesslog/v3/accesslog_pb.ts';
import { ApiVersion } from '../messages/generated/envoy/config/core/v3/config_source_pb.ts';
import {
  type CommonGrpcAccessLogConfigSchema,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from '../messages/generated/envoy/extensions/access_loggers/grpc/v3/als_pb.ts';
import { COMPANION_CLUSTER } from './config-source.ts';
import { type Init, extension, milliseconds } from './pack.ts';

type AccessLog = Init<typeof AccessLogSchema>;

/** One log for all ports, so that a worker of Envoy holds two streams to the companion and not two a port. */
export const ACCESS_LOG = 'countersign';

/** Each call, at its end. */
export function callLog(): AccessLog {
  return extension('envoy.access_loggers.http_grpc', HttpGrpcAccessLogConfigSchema, { commonConfig: common([]) });
}

/** Each connection: where the log stands on a listener at its end, what never became one of a chain included. */
export function connectionLog(listener: string | null): AccessLog {
  const literal = listener === null ? [] : [{ tag: 'listener', type: { case: 'literal' as const, value: { value: listener } } }];
  return extension('envoy.access_loggers.tcp_grpc', TcpGrpcAccessLogConfigSchema, { commonConfig: common(literal) });
}

function common(
  tags: NonNullable<Init<typeof CommonGrpcAccessLogConfigSchema>['customTags']>,
): Init<typeof CommonGrpcAccessLogConfigSchema> {
  return {
    logName: ACCESS_LOG,
    transportApiVersion: ApiVersion.V3,
    grpcService: { targetSpecifier: { case: 'envoyGrpc', value: { clusterName: COMPANION_CLUSTER } } },
    bufferFlushInterval: milliseconds(FLUSH_MS),
    customTags: [...formats.map(([tag, value]) => ({ tag, type: { case: 'value' as const, value } })), ...tags],
  };
}

/** What entries do not have by themselves: the companion judges the certificate that was shown. */
const formats = [
  ['conn', '%CONNECTION_ID%'],
  ['chain', '%FILTER_CHAIN_NAME%'],
  ['cert', '%DOWNSTREAM_PEER_CERT%'],
] as const;
/** Gates read within a second. */
const FLUSH_MS = 100;
