import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { formatHostPort } from '../../platform/network/host-port.ts';

/**
 * The TCP sockets that this process was started with, by the address that they are bound to (sd_listen_fds(3): LISTEN_FDS of them,
 * from descriptor 3). A proxy takes a service's port over without a moment in which nobody listens.
 */
export function inheritedSockets(
  env: { readonly [name: string]: string | undefined },
  pid: number,
  parentPid: number,
): ReadonlyMap<string, number> {
  const count = Number(env['LISTEN_FDS'] ?? 0);
  // The launcher may stand between us and whoever set it.
  const meant = env['LISTEN_PID'] === undefined || [pid, parentPid].includes(Number(env['LISTEN_PID']));
  const sockets = new Map<string, number>();
  if (!meant || !Number.isInteger(count) || count < 1 || count > MAXIMUM_SOCKETS) return sockets;
  for (let fd = FIRST_DESCRIPTOR; fd < FIRST_DESCRIPTOR + count; fd++) {
    const address = boundAddressOf(fd);
    if (address !== null) sockets.set(address, fd);
  }
  return sockets;
}

/** Looks through a handle that is never closed, because closing it would close the descriptor. */
function boundAddressOf(fd: number): string | null {
  try {
    if (!fstatSync(fd).isSocket()) return null;
    const { address, port } = new Socket({ fd, readable: false, writable: false }).address() as { address?: string; port?: number };
    return address === undefined || port === undefined ? null : formatHostPort({ host: address, port });
  } catch {
    return null;
  }
}

/** Closes a socket that was inherited and never used. An open copy would take connections that nobody accepts. */
export function closeInherited(fd: number): void {
  new Socket({ fd, readable: false, writable: false }).destroy();
}

const FIRST_DESCRIPTOR = 3;
const MAXIMUM_SOCKETS = 1_000;
