import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { Log } from '../../platform/log/logger.ts';
import { StateSaver } from './state-saver.ts';

type KeysByEndpoint = ReadonlyMap<string, ReadonlySet<string>>;

/** What third parties were last seen to have, over restarts. */
export type SeenKeysKeeper = {
  readonly known: KeysByEndpoint;
  readonly onNews: (endpointId: string, keys: ReadonlySet<string>) => void;
  stop(): Promise<void>;
};

/**
 * Reads what the state directory has, and writes what is new. Nothing waits for that: what is lost is seen again at the next connection. @throws state-corrupt
 */
export async function openSeenKeys(state: Pick<StateDirectory, 'readSeenKeys' | 'writeSeenKeys'>, log: Log): Promise<SeenKeysKeeper> {
  const known = (await state.readSeenKeys()) ?? new Map<string, ReadonlySet<string>>();
  const seen = new Map(known);
  const saver = new StateSaver(log);
  let writing: Promise<void> = Promise.resolve();
  let isQueued = false;
  return {
    known,
    onNews(endpointId, keys) {
      seen.delete(endpointId);
      seen.set(endpointId, keys);
      if (seen.size > MAXIMUM_ENDPOINTS) seen.delete(seen.keys().next().value!);
      if (isQueued) return;
      isQueued = true;
      // One after another, each with all that is known by then: servers that take turns behind one address may have a key each.
      writing = writing.then(() => {
        isQueued = false;
        return saver.save('seen-keys', () => state.writeSeenKeys(seen));
      });
    },
    stop: () => writing.then(() => saver.stop()),
  };
}

/** As many as settings may have; those that are called no more go first. */
const MAXIMUM_ENDPOINTS = 2_000;
