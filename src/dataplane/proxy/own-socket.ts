import type { Socket } from 'node:net';

/** Who reads a socket, and is told of its end. */
export type SocketOwner = {
  onData(octets: Buffer): void;
  onEnd(): void;
  onClose(): void;
  /** There is room for more to be written. */
  onDrain(): void;
};

/** Makes it the socket's one reader. The listeners are shared by all sockets, so that none costs closures of its own. */
export function ownSocket(socket: Socket, owner: SocketOwner): void {
  (socket as OwnedSocket)[OWNER] = owner;
  socket.on('data', onData).on('end', onEnd).on('close', onClose).on('drain', onDrain);
}

/** Leaves the socket to whoever comes next. */
export function disownSocket(socket: Socket): void {
  socket.off('data', onData).off('end', onEnd).off('close', onClose).off('drain', onDrain);
}

const OWNER: unique symbol = Symbol('owner');
type OwnedSocket = Socket & { [OWNER]: SocketOwner };

function onData(this: OwnedSocket, octets: Buffer): void {
  this[OWNER].onData(octets);
}

function onEnd(this: OwnedSocket): void {
  this[OWNER].onEnd();
}

function onClose(this: OwnedSocket): void {
  this[OWNER].onClose();
}

function onDrain(this: OwnedSocket): void {
  this[OWNER].onDrain();
}
