import { setImmediate } from 'node:timers/promises';

/**
 * Lets its callers through one a turn of the event loop, in the order in which they came: long work in many pieces then holds up nothing
 * that is short by more than one piece.
 */
export function makeTurnstile(): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return () => {
    last = last.then(() => setImmediate());
    return last;
  };
}
