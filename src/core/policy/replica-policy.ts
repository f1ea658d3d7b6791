import { invalid, readNumber, readObject } from './policy-fields.ts';

/** What callers make of an endpoint that has several replicas, or one that restarts. */
export type ReplicaPolicy = {
  /** Calls that a replica let down are sent again where that does no harm; null: never. */
  readonly retries: { readonly percent: number; readonly minimumPerSecond: number } | null;
  /** A replica that fails so often in a row is not called for a while; null: it goes on being called. */
  readonly ejection: { readonly failures: number; readonly baseMs: number; readonly maximumPercent: number } | null;
  /** Every replica is asked for itself; null: nobody asks. */
  readonly healthCheck: HealthCheckPolicy | null;
};

export type HealthCheckPolicy = {
  /** What is got of an endpoint of HTTP; null: a connection is enough. */
  readonly path: string | null;
  /** What is asked about at an endpoint of gRPC; null: a connection is enough. */
  readonly grpcService: string | null;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly healthyAfter: number;
  readonly unhealthyAfter: number;
  readonly panicPercent: number;
};

export const defaultReplicaPolicy: ReplicaPolicy = {
  retries: { percent: 20, minimumPerSecond: 3 },
  ejection: null,
  healthCheck: null,
};

/** @throws input-invalid */
export function readReplicas(value: unknown): ReplicaPolicy {
  const { retries, ejection, healthCheck } = readObject('replicas', value, ['retries', 'ejection', 'healthCheck']);
  return {
    retries:
      retries === 'none'
        ? null
        : readRetries(readObject('replicas.retries', retries === undefined ? {} : retries, ['percent', 'minimumPerSecond'])),
    ejection:
      ejection === undefined ? null : readEjection(readObject('replicas.ejection', ejection, ['failures', 'baseMs', 'maximumPercent'])),
    healthCheck: healthCheck === undefined ? null : readHealthCheck(healthCheck),
  };
}

type Given = { readonly [key: string]: unknown };

function readRetries({ percent, minimumPerSecond }: Given): ReplicaPolicy['retries'] {
  return {
    percent: readNumber('replicas.retries.percent', percent, limits.percent, 20),
    minimumPerSecond: readNumber('replicas.retries.minimumPerSecond', minimumPerSecond, limits.perSecond, 3),
  };
}

function readEjection({ failures, baseMs, maximumPercent }: Given): ReplicaPolicy['ejection'] {
  return {
    failures: readNumber('replicas.ejection.failures', failures, limits.times, 5),
    baseMs: readNumber('replicas.ejection.baseMs', baseMs, limits.baseMs, 30_000),
    maximumPercent: readNumber('replicas.ejection.maximumPercent', maximumPercent, limits.percent, 50),
  };
}

function readHealthCheck(value: unknown): HealthCheckPolicy {
  const field = 'replicas.healthCheck';
  const keys = ['path', 'grpcService', 'intervalMs', 'timeoutMs', 'healthyAfter', 'unhealthyAfter', 'panicPercent'];
  const given = readObject(field, value, keys);
  const { path = null, grpcService = null } = given;
  if (path !== null && (typeof path !== 'string' || !/^\/[\x21-\x7e]{0,499}$/.test(path) || path.includes('#')))
    throw invalid(`${field}.path`, path, 'a path that begins with /, of visible characters');
  if (grpcService !== null && (typeof grpcService !== 'string' || !/^[\w.]{0,200}$/.test(grpcService)))
    throw invalid(`${field}.grpcService`, grpcService, 'the name of a service, or "" for the whole server');
  const intervalMs = readNumber(`${field}.intervalMs`, given['intervalMs'], limits.intervalMs, 5_000);
  const timeoutMs = readNumber(`${field}.timeoutMs`, given['timeoutMs'], limits.intervalMs, Math.min(2_000, intervalMs));
  if (timeoutMs > intervalMs) throw invalid(`${field}.timeoutMs`, timeoutMs, `at most the interval of ${intervalMs}`);
  return {
    path,
    grpcService,
    intervalMs,
    timeoutMs,
    healthyAfter: readNumber(`${field}.healthyAfter`, given['healthyAfter'], limits.times, 2),
    unhealthyAfter: readNumber(`${field}.unhealthyAfter`, given['unhealthyAfter'], limits.times, 3),
    panicPercent: readNumber(`${field}.panicPercent`, given['panicPercent'], limits.percent, 50),
  };
}

const limits = {
  percent: [0, 100],
  // Beyond this it is no minimum any more, but a second load.
  perSecond: [0, 1_000],
  times: [1, 100],
  baseMs: [100, 600_000],
  // More often is a load of its own, with every caller asking.
  intervalMs: [250, 600_000],
} as const satisfies { readonly [field: string]: readonly [number, number] };
