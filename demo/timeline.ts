import type { ServiceName } from './fleet.ts';
import type { Span } from './observer/analyse-calls.ts';

/** When what happened, epoch milliseconds: the steps write it down, the evaluation reads the observer's file by it. */
export type Timeline = {
  /** Plaintext, before any proxy. */
  before: Span | null;
  /** After the waves, with everything in force. */
  after: Span | null;
  /** From when nothing readable and no impostor may reach an endpoint: its old connections are gone, or should be by now. */
  readonly closedAt: Map<ServiceName, number>;
  /** The mistrusting caller's waves, from their start; a wave that is good in the end stands here too. */
  brokenWave: { readonly caller: ServiceName; readonly from: number; readonly to: number } | null;
  /** When the control plane's answer to the suspension came. */
  suspended: { readonly caller: ServiceName; readonly requestedAt: number; readonly answeredAt: number } | null;
  /** The window over which telemetry and observer are compared. */
  compared: Span | null;
};

export function emptyTimeline(): Timeline {
  return { before: null, after: null, closedAt: new Map(), brokenWave: null, suspended: null, compared: null };
}
