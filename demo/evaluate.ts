import type { Coverage, RollbackFact, RunFacts } from './facts.ts';
import { environment, paths, type ServiceName, spiffeIdOf, trustDomain } from './fleet.ts';
import {
  type ChannelCounts,
  countCalls,
  countChannels,
  type ExpectedFailures,
  findLastReceived,
  measureSteadiness,
  type Span,
} from './observer/analyse-calls.ts';
import { type Call, isAnswered, joinCalls } from './observer/call.ts';
import { readEvents, readMarkers, readReadableCalls } from './observer/read-records.ts';
import type { Timeline } from './timeline.ts';

/** Fills in what the observer's and the tap's files say, by the times that the steps wrote down. Asks nothing of the product. */
export function evaluateRun(
  facts: RunFacts,
  timeline: Timeline,
  files: { readonly events: string; readonly tap: string },
  { isLive = false } = {},
): void {
  const calls = isLive ? withoutRunning(joinCalls(readEvents(files.events)).calls) : joinCalls(readEvents(files.events)).calls;
  const markers = readMarkers(files.tap);
  const readable = readReadableCalls(files.tap);
  const { before, after, closedAt, brokenWave, suspended } = timeline;

  facts.rollbacks = brokenWave === null ? [] : describeRollbacks(facts.rollbacks, calls, brokenWave);
  facts.calls = countCalls(calls, expectedFailures(timeline, facts.rollbacks));
  facts.steadiness = steadinessOf(calls);
  facts.channelsBefore = before === null ? null : countChannels(calls, readable, spiffeIdOf, before);
  facts.channelsAfter = after === null ? null : countChannels(calls, readable, spiffeIdOf, after);
  facts.coverage = {
    before: coverageOf(facts.channelsBefore, 0),
    after: coverageOf(facts.channelsAfter, facts.paths === null ? 0 : facts.paths.proven / facts.paths.total),
  };
  const isAfter = (endpoint: string, at: number): boolean => at >= (closedAt.get(endpoint as ServiceName) ?? Number.POSITIVE_INFINITY);
  facts.tap =
    closedAt.size === 0
      ? null
      : {
          markersBefore: sum(markers.filter(({ endpoint, at }) => !isAfter(endpoint, at)).map(({ count }) => count)),
          markersAfter: sum(markers.filter(({ endpoint, at }) => isAfter(endpoint, at)).map(({ count }) => count)),
        };
  const attempts = calls.filter(({ role }) => role === 'impostor');
  const succeeded = attempts.filter((call) => call.received !== null || isAnswered(call));
  facts.impersonation =
    closedAt.size === 0
      ? null
      : {
          attempts: attempts.length,
          succeededBefore: succeeded.filter((call) => !isAfter(call.endpoint, call.received?.at ?? call.begunAt)).length,
          succeededAfter: succeeded.filter((call) => isAfter(call.endpoint, call.received?.at ?? call.begunAt)).length,
        };
  facts.forgedIdentities = attempts.filter(({ received, detail }) => isForged(received, detail)).length;
  if (facts.telemetry !== null && timeline.compared !== null) {
    facts.telemetry = { ...facts.telemetry, observed: countReceived(calls, timeline.compared) };
  }
  if (facts.undeclared !== null) facts.undeclared = { ...facts.undeclared, failedCalls: countFailed(calls, 'reports') };
  if (facts.revocation !== null && suspended !== null) {
    facts.revocation = { ...facts.revocation, ...measureRevocation(calls, suspended) };
  }
}

/** While the fleet still runs, its youngest calls have no end yet. */
function withoutRunning(calls: readonly Call[]): readonly Call[] {
  const last = Math.max(...calls.map(({ begunAt }) => begunAt));
  return calls.filter(({ begunAt, ended }) => ended !== null || begunAt < last - RUNNING_MS);
}

/** A stolen certificate is a true identity; every other identity of an impostor, told to an origin by its sidecar, is forged. */
function isForged(received: Call['received'], detail: string | null): boolean {
  return (
    received?.transport === 'unix' &&
    received.identity !== null &&
    detail !== 'stolen-certificate' &&
    received.identity.includes(`spiffe://${trustDomain}/${environment}/`)
  );
}

/** A broken caller is excused for as long as a rollback may take and no longer; a suspended one from its suspension on. */
function expectedFailures({ brokenWave, suspended }: Timeline, rollbacks: readonly RollbackFact[]): readonly ExpectedFailures[] {
  const firstFailureAt = Math.min(...rollbacks.map((rollback) => rollback.firstFailureAt));
  return [
    ...(brokenWave === null || rollbacks.length === 0
      ? []
      : [
          {
            caller: brokenWave.caller,
            span: { from: brokenWave.from, to: firstFailureAt + LONGEST_ROLLBACK_MS },
            why: 'its trust file lacks the root',
          },
        ]),
    ...(suspended === null
      ? []
      : [{ caller: suspended.caller, span: { from: suspended.requestedAt, to: Number.POSITIVE_INFINITY }, why: 'suspended' }]),
  ];
}

/** Whole seconds from the first call on. The suspended caller calls on, and is counted as begun. */
function steadinessOf(calls: readonly Call[]): RunFacts['steadiness'] {
  const own = calls.filter(({ role }) => role === 'service');
  if (own.length === 0) return null;
  const times = own.map(({ begunAt }) => begunAt);
  // The first second is the one in which thirty processes start one after another.
  return measureSteadiness(calls, paths, { from: times[0]! + START_MS, to: times.at(-1)! });
}

function coverageOf(channels: ChannelCounts | null, provenPaths: number): Coverage | null {
  return channels === null ? null : { paths: provenPaths, calls: channels.received === 0 ? 0 : channels.mutual / channels.received };
}

/** Adds to each rollback what the observer saw of its caller: first failure, last failure, and when it was well again. */
function describeRollbacks(
  found: readonly RollbackFact[],
  calls: readonly Call[],
  wave: Span & { readonly caller: string },
): readonly RollbackFact[] {
  return found.map((rollback): RollbackFact => {
    const endpoint = rollback.path.split(' → ')[1];
    const ofPath = calls.filter((call) => call.role === 'service' && call.caller === wave.caller && call.endpoint === endpoint);
    const failed = ofPath.filter(
      (call) =>
        !isAnswered(call) &&
        call.begunAt >= Math.max(wave.from, rollback.decidedAt - AROUND_MS) &&
        call.begunAt < Math.min(wave.to, rollback.decidedAt + AROUND_MS),
    );
    const firstFailureAt = Math.min(...failed.map((call) => call.ended?.at ?? call.begunAt));
    const lastFailureAt = Math.max(...failed.map((call) => call.ended?.at ?? call.begunAt));
    const good = ofPath.filter((call) => isAnswered(call) && call.begunAt > lastFailureAt).map((call) => call.ended!.at);
    const restoredAt = failed.length === 0 ? rollback.restoredAt : Math.min(...good);
    return {
      ...rollback,
      firstFailureAt,
      lastFailureAt,
      restoredAt,
      failedCalls: failed.length,
      secondsToRestore: failed.length === 0 ? 0 : (restoredAt - firstFailureAt) / 1000,
    };
  });
}

/** Calls that arrived at origins behind a proxy of ours; the third party has none. */
function countReceived(calls: readonly Call[], { from, to }: Span): number {
  return calls.filter(({ received }) => received !== null && received.transport !== 'tls' && received.at >= from && received.at < to)
    .length;
}

function countFailed(calls: readonly Call[], caller: ServiceName): number {
  return calls.filter((call) => call.role === 'service' && call.caller === caller && !isAnswered(call)).length;
}

function measureRevocation(
  calls: readonly Call[],
  { caller, answeredAt }: NonNullable<Timeline['suspended']>,
): {
  readonly secondsToLastAcceptedCall: number;
  readonly acceptedBefore: { readonly open: number; readonly resumed: number; readonly new: number };
} {
  const last = findLastReceived(calls, caller, 0);
  const accepted = (kind: string): number =>
    calls.filter(
      ({ role, detail, received }) =>
        role === 'thief' && detail === kind && received !== null && received.at < answeredAt && received.at >= answeredAt - 1000,
    ).length;
  return {
    secondsToLastAcceptedCall: last === null ? Number.POSITIVE_INFINITY : Math.max(0, (last - answeredAt) / 1000),
    acceptedBefore: { open: accepted('open'), resumed: accepted('resumed'), new: accepted('new') },
  };
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

/** What fails of a rolled-back caller within this time of the decision, belongs to it. */
const AROUND_MS = 10_000;
const START_MS = 1_000;
/** Longer than the time limit of a call. */
const RUNNING_MS = 16_000;
const LONGEST_ROLLBACK_MS = 5_000;
