import type { EntityId } from '../../core/ids/entity-id.ts';
import { isReservedSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Channel, EndpointCounts, PathCounts, PathFacts, Tally, TelemetryWindow, Unit } from '../../core/rollout/rollout-facts.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { WindowRow } from '../telemetry/read-telemetry.ts';

/** Which path a caller's calls to an endpoint belong to. */
export type PathIndex = ReadonlyMap<string, EntityId<'path'>>;

export function indexPaths(paths: readonly Pick<PathFacts, 'pathId' | 'endpointId' | 'caller'>[]): PathIndex {
  return new Map(paths.map(({ pathId, endpointId, caller }) => [`${endpointId} ${caller}`, pathId]));
}

/**
 * Sorts the rows of a window into what each path's caller sent, what receivers made of each declared caller, and what came from
 * strangers and from nobody. The prober is none of these.
 */
export function buildWindow(
  index: PathIndex,
  { from, to }: { readonly from: Instant; readonly to: Instant },
  rows: readonly WindowRow[],
): TelemetryWindow {
  const paths = new Map<EntityId<'path'>, OpenPath>();
  const endpoints = new Map<EntityId<'endpoint'>, OpenEndpoint>();
  for (const row of rows.filter(isJudged)) {
    if (row.caller !== '' && isReservedSpiffeId(row.caller as SpiffeId)) continue;
    const pathId = index.get(`${row.endpoint_id} ${row.caller}`);
    if (row.side === 'caller') {
      if (pathId !== undefined) addSent(getOrAdd(paths, pathId, newPath), row);
    } else if (pathId !== undefined) addReceived(getOrAdd(paths, pathId, newPath), row);
    else addForeign(getOrAdd(endpoints, row.endpoint_id, newEndpoint), row);
  }
  return { from, to, paths, endpoints };
}

type JudgedRow = Omit<WindowRow, 'channel'> & { readonly channel: Channel };

/** Whoever only carried a connection on saw nothing of its caller; the other end counts it, too. */
function isJudged(row: WindowRow): row is WindowRow & JudgedRow {
  return row.channel !== 'passthrough';
}

function addSent(path: OpenPath, row: JudgedRow): void {
  const counts = path.caller[row.unit];
  if (row.outcome === 'failed' || row.outcome === 'refused') {
    counts.failed.push(toTally(row, 'upstream-broken'));
    return;
  }
  counts.sent[row.channel] += row.total;
  if (row.channel !== 'mtls') counts.lastPlaintextAt = Math.max(counts.lastPlaintextAt ?? 0, row.last_at);
}

function addReceived(path: OpenPath, row: JudgedRow): void {
  const { verified, wouldRefuse, refused } = path.receiver;
  // What failed behind the receiver had been verified before.
  if (row.outcome === 'accepted' || row.outcome === 'failed') verified[row.unit] += row.total;
  else (row.outcome === 'refused' ? refused : wouldRefuse).push(toTally(row, 'wrong-identity'));
}

/** From nobody known: what was served counts, for enforcement would end it. What broke off by itself was not served. */
function addForeign(endpoint: OpenEndpoint, row: JudgedRow): void {
  const served = row.outcome === 'accepted' || row.outcome === 'would-refuse';
  if (row.caller === '') {
    const reason = row.channel === 'plaintext' ? 'plaintext' : 'no-certificate';
    if (row.outcome === 'excepted') endpoint.excepted.push({ ...toTally(row, reason), exception: row.exception });
    else if (served) endpoint.anonymous.push(toTally(row, reason));
    else if (row.outcome === 'refused') endpoint.anonymousRefused.push(toTally(row, reason));
  } else if (served) endpoint.strangers.push({ ...toTally(row, 'wrong-identity'), caller: row.caller });
}

function toTally(row: JudgedRow, otherwise: RefusalReason): Tally {
  return {
    unit: row.unit,
    channel: row.channel,
    reason: row.reason === '' ? otherwise : row.reason,
    count: row.total,
    firstSeenAt: row.first_at,
    lastSeenAt: row.last_at,
  };
}

type OpenCaller = { readonly sent: Record<Channel, number>; lastPlaintextAt: Instant | null; readonly failed: Tally[] };
type OpenPath = PathCounts & {
  readonly caller: Record<Unit, OpenCaller>;
  readonly receiver: { readonly verified: Record<Unit, number>; readonly wouldRefuse: Tally[]; readonly refused: Tally[] };
};
type OpenEndpoint = EndpointCounts & {
  readonly anonymous: Tally[];
  readonly anonymousRefused: Tally[];
  readonly excepted: (Tally & { readonly exception: string })[];
  readonly strangers: (Tally & { readonly caller: string })[];
};

function newCaller(): OpenCaller {
  return { sent: { plaintext: 0, tls: 0, mtls: 0 }, lastPlaintextAt: null, failed: [] };
}

function newPath(): OpenPath {
  return {
    caller: { call: newCaller(), connection: newCaller() },
    receiver: { verified: { call: 0, connection: 0 }, wouldRefuse: [], refused: [] },
  };
}

function newEndpoint(): OpenEndpoint {
  return { anonymous: [], anonymousRefused: [], excepted: [], strangers: [] };
}

function getOrAdd<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
