import type { Server, Socket } from 'node:net';

/**
 * Knows every TCP connection of a listener from its first moment. A TLS server tells of a connection only when its handshake is over; one
 * that never ends it would otherwise hold up the end of the server until the handshake times out.
 */
export function holdSockets(server: Server): { readonly destroyAll: () => void } {
  const held = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    held.add(socket);
    socket.once('close', () => held.delete(socket));
  });
  return {
    destroyAll: () => {
      for (const socket of held) socket.destroy();
    },
  };
}
