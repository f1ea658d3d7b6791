import type { HealthCheck, Outbound } from '../messages/generated/countersign/v1/settings_pb.ts';
import type { HealthCheckSchema } from '../messages/generated/envoy/config/core/v3/health_check_pb.ts';
import type { ClusterSchema } from '../messages/generated/envoy/config/cluster/v3/cluster_pb.ts';
import type { EnvoyProtocol } from './access-log-name.ts';
import { breakers } from './breakers.ts';
import { type Init, milliseconds } from './pack.ts';

type Question = NonNullable<Init<typeof HealthCheckSchema>['healthChecker']>;

/** Which replicas are called, and how many calls may be sent again. */
export function replicaRules(
  { retries, ejection, healthCheck, endpointName }: Outbound,
  protocol: EnvoyProtocol,
): Init<typeof ClusterSchema> {
  return {
    circuitBreakers: {
      thresholds: [breakers(retries === undefined ? undefined : { percent: retries.percent, minimum: retries.minimumPerSecond })],
    },
    ...(ejection === undefined
      ? {}
      : {
          outlierDetection: {
            consecutiveGatewayFailure: ejection.failures,
            enforcingConsecutiveGatewayFailure: 100,
            enforcingConsecutive5xx: 0,
            enforcingSuccessRate: 0,
            baseEjectionTime: milliseconds(ejection.baseMs),
            maxEjectionPercent: ejection.maximumPercent,
            interval: milliseconds(1_000),
          },
        }),
    ...(healthCheck === undefined
      ? { commonLbConfig: { healthyPanicThreshold: { value: 0 } } }
      : checked(healthCheck, { protocol, endpointName })),
  };
}

function checked(
  check: HealthCheck,
  { protocol, endpointName }: { readonly protocol: EnvoyProtocol; readonly endpointName: string },
): Init<typeof ClusterSchema> {
  return {
    commonLbConfig: { healthyPanicThreshold: { value: check.panicPercent } },
    healthChecks: [
      {
        interval: milliseconds(check.intervalMs),
        noTrafficInterval: milliseconds(check.intervalMs),
        timeout: milliseconds(check.timeoutMs || check.intervalMs),
        healthyThreshold: check.healthyAfter,
        unhealthyThreshold: check.unhealthyAfter,
        healthChecker: questionOf(check, protocol, endpointName),
      },
    ],
  };
}

function questionOf({ path, grpcService }: HealthCheck, protocol: EnvoyProtocol, host: string): Question {
  if (protocol === 'http' && path !== '')
    return { case: 'httpHealthCheck' as const, value: { host, path, expectedStatuses: [{ start: 200n, end: 300n }] } };
  if (protocol === 'grpc' && grpcService !== undefined) return { case: 'grpcHealthCheck' as const, value: { serviceName: grpcService } };
  return { case: 'tcpHealthCheck' as const, value: {} };
}
