import type { Socket } from 'node:net';

/** What takes the connections of one listening socket. */
export type ListeningPort = {
  accept(socket: Socket): void;
  /** Takes no further calls on open connections, says so with each next answer, and is over within this time. */
  retire(withinMs: number): Promise<void>;
};
