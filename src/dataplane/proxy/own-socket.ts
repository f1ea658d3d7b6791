import type { OnReadOpts, Socket } from 'node:net';

/** Who reads a socket, and is told of its end. */
export type SocketOwner = {
  onData(octets: Buffer): void;
  /** In place of `onData` where the socket was made with `sharedReads`: the octets are others after this returns. */
  onSharedData?(octets: Buffer): void;
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
  (socket as OwnedSocket)[OWNER] = null;
  socket.off('data', onData).off('end', onEnd).off('close', onClose).off('drain', onDrain);
}

/**
 * How a socket reads that will have an owner: into one buffer for all of them. Of the buffers that Node would allocate for what arrives, a
 * whole one of 64 KiB falls to each read that alternates with one of TLS, and the garbage collector cannot keep up with that quietly.
 */
export const sharedReads: OnReadOpts = { buffer: Buffer.allocUnsafeSlow(65_536), callback: onRead };

const OWNER: unique symbol = Symbol('owner');
type OwnedSocket = Socket & { [OWNER]: SocketOwner | null };

function onRead(this: OwnedSocket, length: number, buffer: Uint8Array): boolean {
  const octets = Buffer.from(buffer.buffer, buffer.byteOffset, length);
  const owner = this[OWNER];
  // Whoever has it then reads it as a stream.
  if (owner?.onSharedData === undefined) return this.push(Buffer.from(octets));
  owner.onSharedData(octets);
  return true;
}

function onData(this: OwnedSocket, octets: Buffer): void {
  this[OWNER]!.onData(octets);
}

function onEnd(this: OwnedSocket): void {
  this[OWNER]!.onEnd();
}

function onClose(this: OwnedSocket): void {
  this[OWNER]!.onClose();
}

function onDrain(this: OwnedSocket): void {
  this[OWNER]!.onDrain();
}
