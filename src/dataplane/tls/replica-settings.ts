import type { Outbound } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';

/** What becomes of calls that a replica let down, and which replicas are called. */
export type ReplicaSettings = {
  readonly retries: { readonly percent: number; readonly minimumPerSecond: number } | null;
  readonly ejection: { readonly failures: number; readonly baseMs: number; readonly maximumPercent: number } | null;
  readonly healthCheck: HealthCheckSettings | null;
  /** Equal for equal settings. */
  readonly key: string;
};

/** What a replica is asked; `connect`: it is well if it can be connected to. */
export type HealthQuestion =
  | { readonly kind: 'connect' }
  | { readonly kind: 'http'; readonly path: string }
  | { readonly kind: 'grpc'; readonly service: string };

export type HealthCheckSettings = {
  readonly question: HealthQuestion;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly healthyAfter: number;
  readonly unhealthyAfter: number;
  readonly panicPercent: number;
};

export const NO_REPLICA_SETTINGS: ReplicaSettings = { retries: null, ejection: null, healthCheck: null, key: '' };

/** `protocol` is the endpoint's: a question of another one is not asked. @throws input-invalid */
export function parseReplicaSettings(
  { endpointName, retries, ejection, healthCheck }: Outbound,
  protocol: 'http' | 'grpc' | 'tcp',
): ReplicaSettings {
  const settings = {
    retries: retries === undefined ? null : { percent: retries.percent, minimumPerSecond: retries.minimumPerSecond },
    ejection:
      ejection === undefined ? null : { failures: ejection.failures, baseMs: ejection.baseMs, maximumPercent: ejection.maximumPercent },
    healthCheck: healthCheck === undefined ? null : readHealthCheck(healthCheck, protocol),
  };
  const { ejection: ejects, healthCheck: checks } = settings;
  if (ejects !== null && (ejects.failures === 0 || ejects.baseMs < MINIMUM_MS)) throw odd(endpointName, 'ejection');
  const isOdd = checks !== null && (checks.healthyAfter === 0 || checks.unhealthyAfter === 0 || checks.intervalMs < MINIMUM_MS);
  if (isOdd || (checks?.question.kind === 'http' && !/^\/[\x21-\x7e]*$/.test(checks.question.path)))
    throw odd(endpointName, 'health check');
  return { ...settings, key: JSON.stringify(settings) };
}

function readHealthCheck(
  { path, grpcService, ...times }: NonNullable<Outbound['healthCheck']>,
  protocol: 'http' | 'grpc' | 'tcp',
): HealthCheckSettings {
  const { intervalMs, healthyAfter, unhealthyAfter, panicPercent } = times;
  const question: HealthQuestion =
    protocol === 'http' && path !== ''
      ? { kind: 'http', path }
      : protocol === 'grpc' && grpcService !== undefined
        ? { kind: 'grpc', service: grpcService }
        : { kind: 'connect' };
  return { question, intervalMs, timeoutMs: times.timeoutMs || intervalMs, healthyAfter, unhealthyAfter, panicPercent };
}

function odd(endpointName: string, what: string): Problem {
  return new Problem(
    'input-invalid',
    `Cannot use outbound ${JSON.stringify(endpointName)}: its ${what} is out of bounds, expected times above 0`,
  );
}

/** What comes from a control plane is bounded there; this only keeps a broken one from a busy loop. */
const MINIMUM_MS = 20;
