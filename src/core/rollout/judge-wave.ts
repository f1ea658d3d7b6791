import type { EntityId } from '../ids/entity-id.ts';
import type { Instant } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { intendedRefusals, sumTallies } from './judge-gate.ts';
import type { Reason, ReasonCode } from './reason.ts';
import type { RolloutConfig } from './rollout-config.ts';
import { type CallerCounts, type FlightWindows, type PathFacts, pathCountsOf, type TelemetryWindow, type Unit } from './rollout-facts.ts';

/** Paths that moved together, either to mutual TLS or to enforcement. */
export type Wave = {
  readonly moved: 'originate' | 'enforce' | 'settled';
  readonly since: Instant;
  readonly paths: readonly PathFacts[];
};

export type WaveFacts = {
  readonly config: RolloutConfig;
  readonly windows: FlightWindows;
  /** Paths of the same fleet that did not move. */
  readonly control: readonly EntityId<'path'>[];
  /** What proxies have not done yet. */
  readonly unready: readonly Reason[];
};

export type WaveVerdict =
  | { readonly verdict: 'advance' }
  | { readonly verdict: 'hold'; readonly reasons: readonly Reason[] }
  | { readonly verdict: 'roll-back'; readonly reasons: readonly Reason[] };

/**
 * Judges a wave by what callers' own proxies report on its paths, beside paths that did not move and its own past, and after
 * enforcement by refusals of identities that the plan had counted as good. Anonymous traffic is no input of this function.
 */
export function judgeWave(now: Instant, wave: Wave, facts: WaveFacts): WaveVerdict {
  const found = wave.paths.filter(({ callerSuspended }) => !callerSuspended).map((path) => judgePath(path, wave, facts));
  const failures = found.flatMap(({ bad }) => bad);
  if (failures.length > 0) return { verdict: 'roll-back', reasons: failures };
  const holds = [...facts.unready, ...found.flatMap(({ doubtful }) => doubtful)];
  const until = wave.since + facts.config.settleMs;
  if (now < until) holds.push({ code: 'settling', until });
  return holds.length > 0 ? { verdict: 'hold', reasons: holds } : { verdict: 'advance' };
}

type Found = { readonly bad: readonly Reason[]; readonly doubtful: readonly Reason[] };

function judgePath(path: PathFacts, wave: Wave, { config, windows, control }: WaveFacts): Found {
  const bad: Reason[] = [];
  const doubtful: Reason[] = [];
  for (const unit of units) {
    const counts = pathCountsOf(windows.flight, path.pathId).caller[unit];
    const rate = callerRate(counts, wave);
    const usual = Math.max(controlRate(windows.flight, control, unit, wave), rateOf(baselineRate(windows, path, unit, wave)));
    if (exceeds(rate, usual, config)) bad.push(failureReason('caller-failures', path, rate));
    else if (exceeds(rate, 0, config)) doubtful.push(failureReason('failures-everywhere', path, rate));
    // Too few to judge, but nothing got through yet: such a wave is not good.
    else if (rate.failed > 0 && counts.sent.mtls === 0) doubtful.push(failureReason('caller-failures', path, rate));
  }
  if (wave.moved === 'enforce') bad.push(...judgeRefusals(path, windows.flight, config));
  return { bad: bad.slice(0, 1), doubtful: doubtful.slice(0, 1) };
}

type Rate = {
  readonly failed: number;
  readonly total: number;
  readonly reason: RefusalReason | null;
  readonly firstSeenAt: Instant | null;
  readonly lastSeenAt: Instant | null;
};

/**
 * What failed of what the caller tried. Paths that switched long ago are judged by failures of TLS alone, not by a service that is
 * down, and only by what failed since they switched: their window may reach back to a try before.
 */
function callerRate(counts: CallerCounts, wave: Wave): Rate {
  const tallies = counts.failed.filter(
    ({ reason, firstSeenAt }) =>
      !intendedRefusals.has(reason) && (wave.moved !== 'settled' || (tlsFailures.has(reason) && firstSeenAt >= wave.since)),
  );
  const failed = sumTallies(tallies);
  const most = tallies.toSorted((a, b) => b.count - a.count)[0];
  return {
    failed,
    total: counts.sent.plaintext + counts.sent.tls + counts.sent.mtls + failed,
    reason: most?.reason ?? null,
    firstSeenAt: most === undefined ? null : Math.min(...tallies.map(({ firstSeenAt }) => firstSeenAt)),
    lastSeenAt: most === undefined ? null : Math.max(...tallies.map(({ lastSeenAt }) => lastSeenAt)),
  };
}

/** Enough failures, and a share of the calls that stands more than the allowed points above what is usual. */
function exceeds({ failed, total }: Pick<Rate, 'failed' | 'total'>, usual: number, config: RolloutConfig): boolean {
  return failed >= config.minFailures && failed / total - usual > config.maxFailureRate;
}

function rateOf({ failed, total }: Pick<Rate, 'failed' | 'total'>): number {
  return total === 0 ? 0 : failed / total;
}

/**
 * The failure rate of the middle one of the control paths, of two the worse one. Not of their sum: each rate is what one caller's proxies say, and one
 * that reports failures without end would make every other path's look usual.
 */
function controlRate(window: TelemetryWindow, control: readonly EntityId<'path'>[], unit: Unit, wave: Wave): number {
  const rates = control
    .map((pathId) => callerRate(pathCountsOf(window, pathId).caller[unit], wave))
    .filter(({ total }) => total > 0)
    .map(rateOf)
    .toSorted((a, b) => a - b);
  return rates[Math.floor(rates.length / 2)] ?? 0;
}

function baselineRate(windows: FlightWindows, path: PathFacts, unit: Unit, wave: Wave): Rate {
  return callerRate(pathCountsOf(windows.baseline, path.pathId).caller[unit], wave);
}

function failureReason(code: ReasonCode, { pathId, endpointId, caller }: PathFacts, rate: Rate): Reason {
  return {
    code,
    pathId,
    endpointId,
    caller,
    count: rate.failed,
    total: rate.total,
    ...(rate.reason === null ? {} : { refusal: rate.reason }),
    ...(rate.firstSeenAt === null ? {} : { firstSeenAt: rate.firstSeenAt }),
    ...(rate.lastSeenAt === null ? {} : { lastSeenAt: rate.lastSeenAt }),
  };
}

/** Refusals of the declared caller itself, proved, for a reason of identity. Revoked and suspended ones are refused on purpose. */
function judgeRefusals({ pathId, endpointId, caller }: PathFacts, window: TelemetryWindow, config: RolloutConfig): Reason[] {
  const { receiver } = pathCountsOf(window, pathId);
  return units.flatMap((unit): Reason[] => {
    const refused = receiver.refused.filter(
      (tally) => tally.unit === unit && tlsFailures.has(tally.reason) && !intendedRefusals.has(tally.reason),
    );
    const failed = sumTallies(refused);
    const total = failed + receiver.verified[unit];
    if (!exceeds({ failed, total }, 0, config)) return [];
    return [
      {
        code: 'good-caller-refused',
        pathId,
        endpointId,
        caller,
        refusal: refused[0]!.reason,
        count: failed,
        total,
        firstSeenAt: Math.min(...refused.map(({ firstSeenAt }) => firstSeenAt)),
      },
    ];
  });
}

const units = ['call', 'connection'] as const satisfies readonly Unit[];

/** Failures that can come from certificates, names and TLS; the others also come from a service that is down. */
const tlsFailures: ReadonlySet<RefusalReason> = new Set([
  'plaintext',
  'tls-version',
  'tls-malformed',
  'no-certificate',
  'unknown-authority',
  'crossed-trust-domain',
  'chain-invalid',
  'expired',
  'not-yet-valid',
  'revoked',
  'suspended',
  'wrong-usage',
  'wrong-identity',
  'unverified-resumption',
]);
