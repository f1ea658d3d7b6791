import type { Socket } from 'node:net';

/**
 * Ends a connection behind what was written. Where the caller may still be sending (`linger`), a close at once would reach it as a reset,
 * before the answer (RFC 9112 section 9.6): so what it sends is thrown away for a while.
 */
export function endConnection(socket: Socket, how: 'close' | 'linger'): void {
  const timer = setTimeout(() => socket.destroy(), LAST_WRITE_MS).unref();
  socket.once('close', () => clearTimeout(timer));
  if (how === 'close') return socket.destroySoon();
  socket.once('finish', () => setTimeout(() => socket.destroy(), LINGER_MS).unref());
  socket.end();
  socket.resume();
}

/** A round trip over a bad line, and what was on its way by then. */
const LINGER_MS = 1_000;
/** For the last answer's octets to leave. */
const LAST_WRITE_MS = 300_000;
