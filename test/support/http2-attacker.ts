import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  CLIENT_PREFACE,
  encodeFields,
  encodeFrame,
  encodeSettings,
  END_HEADERS,
  type Frame,
  frameTypes,
  readFrames,
} from '../../src/core/http2/frame.ts';

/** A client that writes frames as it likes. */
export class Http2Attacker {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  readonly closed: Promise<void>;
  #rest: Uint8Array = Buffer.alloc(0);

  constructor(lab: { onClose(close: () => void): void }, port: number | Socket, settings: readonly (readonly [number, number])[] = []) {
    this.socket = typeof port === 'number' ? connect(port, '127.0.0.1') : port;
    this.socket.on('error', () => {});
    lab.onClose(() => this.socket.destroy());
    this.closed = new Promise((resolve) => this.socket.on('close', () => resolve()));
    this.socket.on('end', () => this.socket.end());
    this.socket.on('data', (chunk: Buffer) => {
      const { frames, rest } = readFrames(Buffer.concat([this.#rest, chunk]));
      this.frames.push(...frames);
      this.#rest = rest;
    });
    this.socket.write(Buffer.concat([Buffer.from(CLIENT_PREFACE), encodeSettings(settings)]));
  }

  send(...frames: readonly (Partial<Frame> & { readonly type: number })[]): boolean {
    return this.socket.write(Buffer.concat(frames.map((frame) => encodeFrame({ flags: 0, streamId: 0, payload: EMPTY, ...frame }))));
  }

  /** Writes batch after batch until the other side has had enough; at most so many. */
  async flood(batches: number, batch: (index: number) => Buffer): Promise<number> {
    for (let index = 0; index < batches; index++) {
      if (this.socket.destroyed) return index;
      if (!this.socket.write(batch(index))) await Promise.race([once(this.socket, 'drain').catch(() => {}), this.closed]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return batches;
  }

  goaway(): number | null {
    const frame = this.frames.find(({ type }) => type === frameTypes.goaway);
    return frame === undefined ? null : Buffer.from(frame.payload).readUInt32BE(4);
  }
}

/** Frames of HTTP/2 and their payloads. */
export const EMPTY = Buffer.alloc(0);
export const request = (path: string, more: readonly (readonly [string, string])[] = []): Buffer =>
  encodeFields([[':method', 'POST'], [':scheme', 'http'], [':path', path], [':authority', 'orders'], ...more]);
export const headers = (streamId: number, flags = END_HEADERS, payload = request('/bad')): Buffer =>
  encodeFrame({ type: frameTypes.headers, flags, streamId, payload });
export const data = (flags: number): Buffer => encodeFrame({ type: frameTypes.data, flags, streamId: 1, payload: Buffer.alloc(16_000) });
export const reset = (streamId: number): Buffer =>
  encodeFrame({ type: frameTypes.rstStream, flags: 0, streamId, payload: Buffer.from([0, 0, 0, 8]) });
export const ping = encodeFrame({ type: frameTypes.ping, flags: 0, streamId: 0, payload: Buffer.alloc(8) });
