import { ChunkReader, type Trailers } from './chunk-reader.ts';
import type { BodyFraming } from './request-head.ts';

/** Reads one body from octets that come in pieces, in place where it can. */
export class BodyReader {
  readonly #framing: BodyFraming;
  readonly #chunks: ChunkReader | null;
  #left: number;
  /** True once the body is whole. One that ends with the connection never is by itself. */
  isDone: boolean;
  /** The content of the piece given last lies in `content`, from `from` to `to`. */
  content: Uint8Array = EMPTY;
  from = 0;
  to = 0;

  constructor(framing: BodyFraming) {
    this.#framing = framing;
    this.#chunks = framing.kind === 'chunked' ? new ChunkReader() : null;
    this.#left = framing.kind === 'length' ? framing.octets : 0;
    this.isDone = framing.kind === 'none';
  }

  /** The fields behind a chunked body that is done. */
  get trailers(): Trailers | null {
    return this.#chunks?.trailers ?? null;
  }

  /** Why the body is refused. */
  get fault(): string | null {
    return this.#chunks?.fault ?? null;
  }

  /** Returns how far it read: to the end of the body or of the piece; -1 where the body is refused. */
  read(octets: Uint8Array, from: number): number {
    this.content = octets;
    this.from = from;
    switch (this.#framing.kind) {
      case 'none':
        this.to = from;
        return from;
      case 'close':
        this.to = octets.length;
        return octets.length;
      case 'length':
        this.to = Math.min(octets.length, from + this.#left);
        this.#left -= this.to - from;
        this.isDone = this.#left === 0;
        return this.to;
      case 'chunked':
        return this.#readChunks(this.#chunks!, octets, from);
      default:
        return this.#framing satisfies never;
    }
  }

  #readChunks(chunks: ChunkReader, octets: Uint8Array, from: number): number {
    const next = chunks.read(octets, from);
    this.content = chunks.content;
    this.from = chunks.from;
    this.to = chunks.to;
    this.isDone = chunks.isDone;
    return next;
  }
}

const EMPTY: Uint8Array = new Uint8Array();
