import type { RevokedSet } from '../../control/ca/revoked-set.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Node, ViolationReason } from './peer.ts';

/** The revoked set in memory, for a lookup at each call. */
export type RevokedIndex = {
  /** `revoked` or `suspended`, or null. */
  judge(certificate: Pick<Node, 'issuerKeySha256' | 'serialHex' | 'spiffeId'>): ViolationReason | null;
  /** Reads it again. Of concurrent calls the last read wins. */
  refresh(): Promise<void>;
};

/** Opens the index with what is committed now; `read` is `readRevokedSet` of control/ca. */
export async function openRevokedIndex(read: () => Promise<RevokedSet>): Promise<RevokedIndex> {
  let certificates: ReadonlySet<string> = new Set();
  let suspended: ReadonlySet<string> = new Set();
  let started = 0;
  let finished = 0;
  const refresh = async (): Promise<void> => {
    const turn = ++started;
    const set = await read();
    if (turn < finished) return;
    finished = turn;
    certificates = new Set(
      set.certificates.map(({ issuerKeySha256, serial }) => `${issuerKeySha256} ${Buffer.from(serial).toString('hex')}`),
    );
    suspended = new Set(set.suspended);
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
