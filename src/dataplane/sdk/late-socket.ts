import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** A socket for drivers that make one first and connect it later: it connects by `dial`, whatever host and port it is told. */
export class LateSocket extends Duplex {
  readonly #dial: () => Promise<Socket>;
  #socket: Socket | null = null;

  constructor(dial: () => Promise<Socket>) {
    super({ allowHalfOpen: true });
    this.#dial = dial;
  }

  connect(..._where: readonly unknown[]): this {
    this.#dial().then(
      (socket) => this.#connected(socket),
      (error: Error) => this.destroy(error),
    );
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(on?: boolean, initialDelayMs?: number): this {
    this.#socket?.setKeepAlive(on, initialDelayMs);
    return this;
  }

  ref(): this {
    this.#socket?.ref();
    return this;
  }

  unref(): this {
    this.#socket?.unref();
    return this;
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#socket === null) done(new Error('Cannot write: the socket is not connected, expected its connect event first'));
    else this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    if (this.#socket === null) done();
    else this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket?.destroy();
    done(error);
  }

  #connected(socket: Socket): void {
    if (this.destroyed) return void socket.destroy();
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    this.emit('connect');
  }
}
