import { BoundSocket } from 'node:net';
import { randomInt } from 'node:crypto';

const HOST = '127.0.0.1';
/** Below the range from which Linux and macOS take the ports of outgoing connections. */
const LOWEST_PORT = 12_000;
const HIGHEST_PORT = 32_000;
const MAXIMUM_TRIES = 200;

/** A row of free ports, each bound but not listening, so that nobody else takes one before its owner comes. */
export type PortBlock = { readonly first: number; readonly sockets: readonly BoundSocket[] };

/** Takes `count` neighbouring free ports of 127.0.0.1. */
export function takePorts(count: number): PortBlock {
  for (let tries = 0; tries < MAXIMUM_TRIES; tries += 1) {
    const first = randomInt(LOWEST_PORT, HIGHEST_PORT - count);
    const sockets = bindRow(first, count);
    if (sockets !== null) return { first, sockets };
  }
  throw new Error(`Cannot find ${count} neighbouring free ports on ${HOST}`);
}

function bindRow(first: number, count: number): BoundSocket[] | null {
  const sockets: BoundSocket[] = [];
  try {
    for (let port = first; port < first + count; port += 1) sockets.push(new BoundSocket({ host: HOST, port }));
    return sockets;
  } catch {
    for (const socket of sockets) socket.close();
    return null;
  }
}
