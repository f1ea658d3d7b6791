import type { CallRequest } from './call-request.ts';

/** A request of HTTP/2, by its header fields as flat name-value pairs, for whoever judges it. */
export class Http2CallRequest implements CallRequest {
  readonly #raw: readonly string[];

  constructor(raw: readonly string[]) {
    this.#raw = raw;
  }

  /** A WebSocket's extended CONNECT is the GET of HTTP/1.1 (RFC 8441 section 5). */
  get method(): string {
    const method = this.#valueOf(':method') ?? '';
    return method === 'CONNECT' && this.#valueOf(':protocol') === 'websocket' ? 'GET' : method;
  }

  target(): string {
    return this.#valueOf(':path') ?? '';
  }

  authority(): string {
    return this.#valueOf(':authority') ?? this.#valueOf('host') ?? '';
  }

  bodyLength(): number {
    // What is no number is refused where it is read as a head.
    return Number(this.#valueOf('content-length') ?? 0) || 0;
  }

  fields(): readonly string[] {
    return this.#raw;
  }

  #valueOf(name: string): string | null {
    const raw = this.#raw;
    for (let at = 0; at < raw.length; at += 2) if (raw[at] === name) return raw[at + 1]!;
    return null;
  }
}
