import type { Socket } from 'node:net';

/** A connection for a pool. */
export type PooledSocket = {
  readonly socket: Socket;
  /** Whoever wants to know what calls over it come to; null: nobody does. */
  readonly onOutcome: ((isGood: boolean) => void) | null;
};
