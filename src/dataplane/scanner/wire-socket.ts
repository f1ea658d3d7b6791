import { createHash } from 'node:crypto';
import { type BoundSocket, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { formatHostPort } from '../../platform/network/host-port.ts';

/**
 * A TCP connection that remembers what left it: TLS runs over this stream, so the octets counted are those of the wire.
 * A drill is only worth its result when its octets were really sent.
 */
export class WireSocket extends Duplex {
  readonly #socket: Socket;
  readonly #head: Buffer[] = [];
  #headLength = 0;
  #octetsSent = 0;
  #localAddress = '';
  #received: Buffer[] = [];
  #receivedLength = 0;

  /** `connectTimeoutMs` bounds the TCP connect; the stream errors with code `ETIMEDOUT` past it. `source` is where it comes from, else the system chooses. */
  constructor(address: { readonly host: string; readonly port: number }, connectTimeoutMs: number, source?: BoundSocket) {
    super({ allowHalfOpen: true });
    this.#socket = new Socket(source === undefined ? {} : { handle: source }).connect(address);
    this.#socket.setNoDelay(true);
    const timer = setTimeout(() => this.destroy(Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' })), connectTimeoutMs);
    this.#socket.once('connect', () => {
      clearTimeout(timer);
      this.#localAddress = formatHostPort({ host: this.#socket.localAddress ?? '', port: this.#socket.localPort ?? 0 });
      this.emit('connect');
    });
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('end', () => this.push(null));
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('close', () => {
      clearTimeout(timer);
      this.destroy();
    });
  }

  /** Octets that the kernel took. */
  get octetsSent(): number {
    return this.#octetsSent;
  }

  /** Our own end, `IP:PORT`; empty before it was connected. */
  get localAddress(): string {
    return this.#localAddress;
  }

  /** SHA-256 over the first 64 octets sent, or null when fewer left. */
  get firstOctetsSha256(): Buffer | null {
    if (this.#headLength < FINGERPRINT_OCTETS) return null;
    return createHash('sha256').update(Buffer.concat(this.#head).subarray(0, FINGERPRINT_OCTETS)).digest();
  }

  /** The first octets received (at most 64 KiB), for readers of the server's handshake messages. */
  get received(): Buffer {
    return Buffer.concat(this.#received);
  }

  /** What was read so far is no part of what follows, as where TLS begins after a command in the clear. */
  forgetReceived(): void {
    this.#received = [];
    this.#receivedLength = 0;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk, (error) => {
      if (!error) this.#count(chunk);
      callback(error);
    });
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  #count(chunk: Buffer): void {
    this.#octetsSent += chunk.length;
    if (this.#headLength >= FINGERPRINT_OCTETS) return;
    this.#head.push(Buffer.from(chunk));
    this.#headLength += chunk.length;
  }

  #receive(chunk: Buffer): void {
    if (this.#receivedLength < MAXIMUM_KEPT_OCTETS) {
      this.#received.push(Buffer.from(chunk));
      this.#receivedLength += chunk.length;
    }
    if (!this.push(chunk)) this.#socket.pause();
  }
}

/** What prober and proxy both hash to speak of the same connection. */
export const FINGERPRINT_OCTETS = 64;
const MAXIMUM_KEPT_OCTETS = 65_536;
