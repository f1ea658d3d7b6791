/**
 * Tells whoever waits that something changed, not what: a listener re-reads the state itself.
 * Several calls of `notify` in one turn are one call of each listener, made after the turn, so a notifier never waits for a listener.
 */
export type Signal = {
  notify(): void;
  /** The listener is not called any more once the subscription is disposed. */
  subscribe(listener: () => void): Disposable;
};

/** A signal within this process. What must survive a crash is read again at the start, not remembered here. */
export function makeSignal(): Signal {
  const subscriptions = new Set<{ readonly listener: () => void }>();
  let pending = false;
  const deliver = (): void => {
    pending = false;
    for (const subscription of subscriptions) {
      // Each in a turn of its own: one that throws is an uncaught error and does not silence the others.
      queueMicrotask(() => {
        if (subscriptions.has(subscription)) subscription.listener();
      });
    }
  };
  return {
    notify() {
      if (pending) return;
      pending = true;
      queueMicrotask(deliver);
    },
    subscribe(listener) {
      const subscription = { listener };
      subscriptions.add(subscription);
      return { [Symbol.dispose]: () => void subscriptions.delete(subscription) };
    },
  };
}
