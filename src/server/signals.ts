import type { Signal } from '../platform/clock/signal.ts';

/** What wakes whom; each tells only that something changed. */
export type Signals = {
  /** Trust bundle, revoked set, suspensions. */
  readonly authorities: Signal;
  /** Compiled settings of a proxy. */
  readonly settings: Signal;
  /** A proxy acknowledged or refused. */
  readonly acknowledged: Signal;
  /** Declarations and policies. */
  readonly inventory: Signal;
  /** Modes of paths and renewal epochs. */
  readonly modes: Signal;
  /** Reports were counted. */
  readonly telemetry: Signal;
  /** Drill jobs and verdicts. */
  readonly drills: Signal;
  /** Keys of session tickets. */
  readonly tickets: Signal;
  /** Somebody asked for other ticket keys. */
  readonly ticketOrders: Signal;
  /** Orders at other CAs, and certificates of theirs to be looked at. */
  readonly external: Signal;
  /** Bundles of other trust domains. */
  readonly federation: Signal;
};
