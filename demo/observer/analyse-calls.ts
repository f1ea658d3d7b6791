import { type Call, isAnswered } from './call.ts';

/** Epoch milliseconds, `from` included and `to` not. */
export type Span = { readonly from: number; readonly to: number };

/** Calls of one caller to one endpoint that failed alike. */
export type FailureGroup = {
  readonly caller: string;
  readonly endpoint: string;
  readonly outcome: string;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
};

/** A time in which the calls of one caller may fail: its rollback, or after its suspension. */
export type ExpectedFailures = { readonly caller: string; readonly span: Span; readonly why: string };

export type CallTotals = {
  readonly total: number;
  readonly failed: number;
  readonly expected: number;
  readonly failures: readonly FailureGroup[];
};

/** Counts the fleet's own calls. A call without an end counts as failed. */
export function countCalls(calls: readonly Call[], expected: readonly ExpectedFailures[]): CallTotals {
  const own = calls.filter(({ role }) => role === 'service');
  const broken = own.filter((call) => !isAnswered(call));
  const isExpected = (call: Call): boolean => expected.some(({ caller, span }) => caller === call.caller && overlaps(call, span));
  const unexpected = broken.filter((call) => !isExpected(call));
  return { total: own.length, failed: unexpected.length, expected: broken.length - unexpected.length, failures: groupFailures(unexpected) };
}

/** A failed call belongs to a span when it ended or began in it: a call that was on its way is cut off by what begins then. */
function overlaps(call: Call, span: Span): boolean {
  return call.begunAt < span.to && (call.ended?.at ?? Number.POSITIVE_INFINITY) >= span.from;
}

function groupFailures(calls: readonly Call[]): FailureGroup[] {
  const groups = new Map<string, FailureGroup>();
  for (const { caller, endpoint, begunAt, ended } of calls) {
    const outcome = ended?.outcome ?? 'never ended';
    const key = `${caller} ${endpoint} ${outcome}`;
    const group = groups.get(key) ?? { caller, endpoint, outcome, count: 0, firstAt: begunAt, lastAt: begunAt };
    groups.set(key, {
      ...group,
      count: group.count + 1,
      firstAt: Math.min(group.firstAt, begunAt),
      lastAt: Math.max(group.lastAt, begunAt),
    });
  }
  return [...groups.values()];
}

/** How steadily the fleet's calls arrived at their origins, by whole seconds of `span`. */
export type Steadiness = {
  /** The poorest second of all calls together. */
  readonly fewestPerSecond: number;
  readonly callsPerSecond: number;
  readonly paths: readonly {
    readonly caller: string;
    readonly endpoint: string;
    readonly callsPerSecond: number;
    readonly fewestPerSecond: number;
  }[];
};

export function measureSteadiness(calls: readonly Call[], paths: readonly { caller: string; endpoint: string }[], span: Span): Steadiness {
  const seconds = Math.floor((span.to - span.from) / 1000);
  const all = zeros(seconds);
  const byPath = new Map(paths.map((path) => [`${path.caller} ${path.endpoint}`, { ...path, counts: zeros(seconds) }]));
  for (const { role, caller, endpoint, begunAt } of calls) {
    const second = Math.floor((begunAt - span.from) / 1000);
    if (role !== 'service' || second < 0 || second >= seconds) continue;
    all[second]! += 1;
    const path = byPath.get(`${caller} ${endpoint}`);
    if (path !== undefined) path.counts[second]! += 1;
  }
  return {
    fewestPerSecond: Math.min(...all),
    callsPerSecond: sum(all) / seconds,
    paths: [...byPath.values()].map(({ caller, endpoint, counts }) => ({
      caller,
      endpoint,
      callsPerSecond: sum(counts) / seconds,
      fewestPerSecond: Math.min(...counts),
    })),
  };
}

function zeros(length: number): number[] {
  return Array.from({ length }, () => 0);
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

/** Of the calls that origins received in `span`: how many were readable on the wire, encrypted only, or proved on both ends. */
export type ChannelCounts = { readonly received: number; readonly mutual: number; readonly encrypted: number; readonly readable: number };

/**
 * Coverage by calls, without a word of the product's own telemetry: `readable` is what the tap could read; a call counts as `mutual`
 * only if the tap could not, and its origin was told the caller's identity by the sidecar in front of it.
 */
export function countChannels(
  calls: readonly Call[],
  readableIds: ReadonlySet<string>,
  expectedIdentity: (caller: string) => string,
  span: Span,
): ChannelCounts {
  let received = 0;
  let mutual = 0;
  let readable = 0;
  for (const call of calls) {
    if (call.role !== 'service' || call.received === null || call.begunAt < span.from || call.begunAt >= span.to) continue;
    received += 1;
    if (readableIds.has(call.id)) readable += 1;
    else if (call.received.transport !== 'tls' && namesIdentity(call.received.identity, expectedIdentity(call.caller))) mutual += 1;
  }
  return { received, mutual, encrypted: received - mutual - readable, readable };
}

/** Whether an X-Forwarded-Client-Cert header of exactly one element names this URI. */
export function namesIdentity(header: string | null, spiffeId: string): boolean {
  if (header === null || header.includes(',')) return false;
  return header.split(';').some((pair) => pair === `URI=${spiffeId}` || pair === `URI="${spiffeId}"`);
}

/** When an origin last received a call of this identity, begun by its service or by the thief of its key. */
export function findLastReceived(calls: readonly Call[], caller: string, after: number): number | null {
  const times = calls.flatMap((call) =>
    call.caller === caller && call.received !== null && call.received.at >= after ? [call.received.at] : [],
  );
  return times.length === 0 ? null : Math.max(...times);
}

/** What impostors tried on one endpoint in a span, and how often an origin saw them or they got an answer. */
export function countImpersonations(calls: readonly Call[], span: Span, endpoint?: string): { attempts: number; succeeded: number } {
  const tried = calls.filter(
    (call) =>
      call.role === 'impostor' &&
      call.begunAt >= span.from &&
      call.begunAt < span.to &&
      (endpoint === undefined || call.endpoint === endpoint),
  );
  return { attempts: tried.length, succeeded: tried.filter((call) => call.received !== null || isAnswered(call)).length };
}
