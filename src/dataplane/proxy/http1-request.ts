import { type BodyFraming, keepsConnection, type RequestHead, wantsWebSocket } from '../../core/http1/request-head.ts';
import type { CallRequest } from '../tls/call-request.ts';

/** A request of HTTP/1.1 for whoever judges it. */
export class Http1Request implements CallRequest {
  readonly #head: RequestHead;

  constructor(head: RequestHead) {
    this.#head = head;
  }

  get method(): string {
    return this.#head.start.method;
  }

  target(): string {
    const { octets, start } = this.#head;
    return latin1(octets, start.targetAt, start.targetEnd);
  }

  authority(): string {
    const { octets, fields } = this.#head;
    return latin1(octets, fields.hostFrom, fields.hostTo);
  }

  bodyLength(): number {
    return Math.max(0, this.#head.fields.length);
  }

  fields(): readonly string[] {
    const { octets, fieldsAt, fieldsEnd } = this.#head;
    return latin1(octets, fieldsAt, fieldsEnd)
      .split('\r\n')
      .slice(0, -1)
      .flatMap((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      });
  }
}

/** True if the next call may follow this request although nobody took it. */
export function canGoOn(head: RequestHead, framing: BodyFraming): boolean {
  return framing.kind === 'none' && keepsConnection(head) && !wantsWebSocket(head);
}

function latin1(octets: Uint8Array, from: number, to: number): string {
  return Buffer.from(octets.buffer, octets.byteOffset + from, to - from).toString('latin1');
}
