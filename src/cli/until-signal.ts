/**
 * Resolves at the first SIGINT or SIGTERM; a later one ends the process at once, but not the echo of the first, which reaches a program
 * from the terminal and again from the one that started it. The death of a supervisor counts as a signal: nothing outlives its owner.
 */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      process.off('disconnect', orphan);
      setTimeout(() => signals.forEach((name) => process.off(name, stop)), ECHO_MS).unref();
      resolve(signal);
    };
    const orphan = (): void => stop('SIGTERM');
    for (const name of signals) process.on(name, stop);
    if (process.connected) process.once('disconnect', orphan);
  });
}

const signals = ['SIGINT', 'SIGTERM'] as const;
const ECHO_MS = 1_000;
