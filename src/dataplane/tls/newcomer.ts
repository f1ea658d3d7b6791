import type { Socket } from 'node:net';
import type { ProxiedEnds } from '../../core/proxy-protocol/proxy-header.ts';

/** A connection that is not yet judged. */
export type Newcomer = {
  readonly sni: string | null;
  readonly socket: Socket;
  /** Null over a Unix socket. */
  readonly host: string | null;
  readonly remote: string;
  readonly ends: ProxiedEnds | null;
};

/** `ends` is where it began and went, as a balancer that is believed has said. */
export function newcomerOf(socket: Socket, ends: ProxiedEnds | null): Newcomer {
  const host = ends?.source.host ?? socket.remoteAddress ?? null;
  return { sni: null, socket, host, remote: `${host ?? 'unix'}:${ends?.source.port ?? socket.remotePort ?? 0}`, ends };
}
