import type { RevokedSet } from '../../control/ca/revoked-set.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Node, ViolationReason } from './peer.ts';

/** The revoked set in memory, for a lookup at each call. */
export type RevokedIndex = {
  /** `revoked` or `suspended`, or null. */
  judge(certificate: Pick<Node, 'issuerKeySha256' | 'serialHex' | 'spiffeId'>): ViolationReason | null;
  /** Reads it again, after the readings under way. */
  refresh(): Promise<void>;
};

/**
 * Opens the index with what is committed now; `read` is `readRevokedSet` of control/ca, `readSince` its `readRevokedSince`. A set of a hundred thousand
 * is read whole once, and again when enough time has passed for much of it to have expired; in between only what came is added.
 */
export async function openRevokedIndex(
  read: () => Promise<RevokedSet>,
  readSince: (sequence: number) => Promise<RevokedSet | null> = read,
): Promise<RevokedIndex> {
  let certificates = new Set<string>();
  let suspended: ReadonlySet<string> = new Set();
  let sequence = -1;
  let readWholeAt = Number.NEGATIVE_INFINITY;
  let turns: Promise<void> = Promise.resolve();
  const readAgain = async (): Promise<void> => {
    const isWhole = performance.now() - readWholeAt >= WHOLE_INTERVAL_MS;
    const set = isWhole ? await read() : await readSince(sequence);
    if (set === null) return;
    if (isWhole || readSince === read) certificates = new Set();
    if (isWhole) readWholeAt = performance.now();
    for (const { issuerKeySha256, serial } of set.certificates) {
      certificates.add(`${issuerKeySha256} ${Buffer.from(serial).toString('hex')}`);
    }
    suspended = new Set(set.suspended);
    sequence = set.sequence;
  };
  // One after another, so that an older reading never takes the place of a newer one.
  const refresh = (): Promise<void> => {
    const turn = turns.then(readAgain);
    turns = turn.catch(() => undefined);
    return turn;
  };
  await refresh();
  return {
    judge: ({ issuerKeySha256, serialHex, spiffeId }) => {
      if (certificates.has(`${issuerKeySha256} ${serialHex}`)) return 'revoked';
      return suspended.has(spiffeId) ? 'suspended' : null;
    },
    refresh,
  };
}

/**
 * Reads the index again at each signal, and every few seconds beside it (a signal can be lost, a read can fail), and then calls
 * `changed`, which is to recheck the open connections.
 */
export function followRevocations(deps: {
  readonly index: RevokedIndex;
  readonly signal: Signal;
  readonly changed: () => void;
  readonly failed: (error: unknown) => void;
}): Disposable {
  const follow = (): void => void deps.index.refresh().then(deps.changed).catch(deps.failed);
  const subscription = deps.signal.subscribe(follow);
  const timer = setInterval(follow, POLL_INTERVAL_MS).unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      subscription[Symbol.dispose]();
    },
  };
}

const POLL_INTERVAL_MS = 5_000;
const WHOLE_INTERVAL_MS = 3_600_000;
