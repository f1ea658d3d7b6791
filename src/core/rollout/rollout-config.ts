import type { EntityId } from '../ids/entity-id.ts';
import { Problem } from '../problems/problem.ts';
import { DAY_MS, MINUTE_MS, SECOND_MS } from '../time/instant.ts';

/** An identity that may go on being refused: a person read the plan and said so. */
export type UnwantedCaller = { readonly endpointId: EntityId<'endpoint'>; readonly caller: string; readonly reason: string };

/** What a rollout asks for before it goes on. All of it may be set by an operator; nothing of it by a data plane. */
export type RolloutConfig = {
  /** How long telemetry must be clean before an endpoint is enforced. Set it past the longest cron job. */
  readonly soakMs: number;
  /** How long a wave that switched is watched before the next one starts. */
  readonly settleMs: number;
  /** How long before a window's end reports may still be on their way. */
  readonly lagMs: number;
  /** Calls (connections for raw TCP) over mutual TLS that each path must show within the soak window. */
  readonly minCalls: number;
  /** Failures of one path from which a wave is rolled back ... */
  readonly minFailures: number;
  /** ... if they also exceed this share of its calls, above the control group and above the path's own past. */
  readonly maxFailureRate: number;
  /** A proxy that has not reported for so long is silent, and silence is never green. */
  readonly silentMs: number;
  /** After enforcement, how long until an open old connection is overdue. */
  readonly drainMs: number;
  readonly maxPathsPerWave: number;
  /** What anonymous traffic that no declared caller sends does to the gate. `refuse`: it is named, and enforcement may refuse it. */
  readonly unattributed: 'hold' | 'refuse';
  readonly unwanted: readonly UnwantedCaller[];
};

/** Slow and careful: a day of soak. */
export const defaultRolloutConfig: RolloutConfig = {
  soakMs: DAY_MS,
  settleMs: MINUTE_MS,
  lagMs: 2 * SECOND_MS,
  minCalls: 20,
  minFailures: 3,
  maxFailureRate: 0.05,
  silentMs: 10 * SECOND_MS,
  drainMs: 30 * SECOND_MS,
  maxPathsPerWave: 50,
  unattributed: 'hold',
  unwanted: [],
};

/** Reads the `spec` of a Rollout declaration over the defaults or over what was set before. @throws input-invalid */
export function parseRolloutConfig(input: unknown, base: RolloutConfig = defaultRolloutConfig): RolloutConfig {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) throw invalid('spec', 'an object');
  const given = input as { readonly [key: string]: unknown };
  for (const key of Object.keys(given)) if (!Object.hasOwn(defaultRolloutConfig, key)) throw invalid(key, 'a known key');
  const numbers = Object.fromEntries(
    Object.entries(numberLimits).map(([key, [low, high]]) => [key, readNumber(given, key, low, high, base[key as NumberKey])]),
  ) as Record<NumberKey, number>;
  const unattributed = given['unattributed'] ?? base.unattributed;
  if (unattributed !== 'hold' && unattributed !== 'refuse') throw invalid('unattributed', 'hold or refuse');
  return { ...numbers, unattributed, unwanted: readUnwanted(given['unwanted']) ?? base.unwanted };
}

function readNumber(given: { readonly [key: string]: unknown }, key: string, low: number, high: number, otherwise: number): number {
  const value = given[key] ?? otherwise;
  const isShare = key === 'maxFailureRate';
  if (typeof value !== 'number' || !(value >= low && value <= high) || (!isShare && !Number.isInteger(value))) {
    throw invalid(key, `${isShare ? 'a number' : 'an integer'} from ${low} to ${high}`);
  }
  return value;
}

function readUnwanted(value: unknown): readonly UnwantedCaller[] | null {
  if (value === undefined) return null;
  if (!Array.isArray(value) || value.length > MAX_UNWANTED) throw invalid('unwanted', `a list of at most ${MAX_UNWANTED}`);
  return value.map((item: unknown): UnwantedCaller => {
    const { endpointId, caller, reason } = (typeof item === 'object' && item !== null ? item : {}) as Record<string, unknown>;
    if (typeof endpointId !== 'string' || typeof caller !== 'string' || typeof reason !== 'string' || reason.length > MAX_REASON) {
      throw invalid('unwanted', 'endpointId, caller and reason in each item');
    }
    return { endpointId: endpointId as EntityId<'endpoint'>, caller, reason };
  });
}

function invalid(key: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot read rollout: ${JSON.stringify(key.slice(0, 100))}, expected ${expected}`);
}

type NumberKey = Exclude<keyof RolloutConfig, 'unattributed' | 'unwanted'>;
const numberLimits: { readonly [key in NumberKey]: readonly [number, number] } = {
  soakMs: [SECOND_MS, 90 * DAY_MS],
  settleMs: [0, 30 * DAY_MS],
  lagMs: [0, MINUTE_MS],
  minCalls: [1, 1_000_000],
  minFailures: [1, 1_000_000],
  maxFailureRate: [0, 1],
  silentMs: [SECOND_MS, 10 * MINUTE_MS],
  drainMs: [SECOND_MS, DAY_MS],
  maxPathsPerWave: [1, 10_000],
};
const MAX_UNWANTED = 1_000;
const MAX_REASON = 1_000;
