import type { AcmeCloud } from './acme-cloud.ts';
import type { ControlPlane } from './control-plane.ts';
import type { RunFacts } from './facts.ts';
import type { Flags } from './flags.ts';
import type { RunningProcess } from './process-group.ts';
import type { Progress } from './progress.ts';
import type { Timeline } from './timeline.ts';

/** One run of the demo: what its steps work on and what they write down. */
export type Run = {
  readonly flags: Flags;
  readonly cloud: AcmeCloud;
  readonly plane: ControlPlane;
  readonly progress: Progress;
  readonly facts: RunFacts;
  readonly timeline: Timeline;
  /** The sidecar, bridge or scanner of each name, as it runs now. */
  readonly dataPlanes: Map<string, RunningProcess>;
};

/** Waits until `look` finds something, asking every `everyMs`. @throws Error with `what` after `timeoutMs` */
export async function waitFor<T>(what: string, timeoutMs: number, look: () => Promise<T | null>, everyMs = 100): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${timeoutMs / 1000} s`);
    await pause(everyMs);
  }
}

/** Lets the fleet run for a while. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
