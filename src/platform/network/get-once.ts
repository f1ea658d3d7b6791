import type { Duplex } from 'node:stream';
import { type AnswerHead, type AnswerStart, framingOfAnswer, readStatusLine } from '../../core/http1/answer-head.ts';
import { BodyReader } from '../../core/http1/body-reader.ts';
import { HeadReader } from '../../core/http1/head-reader.ts';

/** The answer to a GET: a redirect with where it leads to and no body, or another with its body. */
export type OnceAnswer =
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'body'; readonly status: number; readonly body: Buffer }
  /** The body is longer than was asked for. */
  | { readonly kind: 'too-large' };

/**
 * Sends a GET over a connection that serves nothing else, and reads the one answer. Whoever opened the connection bounds its time, and ends it.
 * Rejects with an error that has a `code` if it breaks, ends too early or carries no HTTP/1.
 */
export function getOnce(stream: Duplex, url: URL, maximumOctets: number): Promise<OnceAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<OnceAnswer>();
  const reader = new OnceReader(maximumOctets);
  const settle = (answer: OnceAnswer | string | null): void => {
    if (answer === null) return;
    if (typeof answer === 'string') reject(failure('EBADMSG', answer));
    else resolve(answer);
  };
  stream.on('data', (octets: Buffer) => settle(reader.read(octets)));
  stream.on('end', () => settle(reader.end()));
  stream.on('error', reject);
  stream.on('close', () => reject(failure('ECONNRESET', 'the connection was cut off')));
  // What a URL holds is neither line end nor space: its parser saw to it.
  stream.write(
    `GET ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nuser-agent: countersign\r\naccept: */*\r\nconnection: close\r\n\r\n`,
    'latin1',
  );
  return promise;
}

/** Reads interim answers over, then the answer. */
class OnceReader {
  readonly #heads = new HeadReader<AnswerStart>(readStatusLine, MAXIMUM_HEAD_OCTETS);
  readonly #maximumOctets: number;
  readonly #chunks: Uint8Array[] = [];
  #size = 0;
  #interim = 0;
  #status = 0;
  #body: BodyReader | null = null;
  #endsWithConnection = false;

  constructor(maximumOctets: number) {
    this.#maximumOctets = maximumOctets;
  }

  /** Null: more is to come; a text: it is no answer, and why. */
  read(octets: Uint8Array): OnceAnswer | string | null {
    let at = 0;
    while (this.#body === null) {
      const reading = this.#heads.read(octets, at);
      if (reading.kind === 'incomplete') return null;
      if (reading.kind !== 'head') return reading.because;
      at = reading.next;
      const done = this.#takeHead(reading.head);
      if (done !== null) return done;
    }
    return this.#readBody(this.#body, octets, at);
  }

  /** The other side has said all. */
  end(): OnceAnswer | string {
    return this.#endsWithConnection ? this.#whole() : 'it ended within the answer';
  }

  #takeHead(head: AnswerHead): OnceAnswer | string | null {
    const { status } = head.start;
    const framing = framingOfAnswer(head, 'GET');
    if (framing.kind === 'malformed') return framing.because;
    // 101 would be an answer to a question that was not put.
    if (status < 200) return status !== SWITCHING && ++this.#interim <= MAXIMUM_INTERIM ? null : `status ${status}`;
    const location = REDIRECTS.has(status) ? locationOf(head) : null;
    if (location !== null) return { kind: 'redirect', location };
    this.#status = status;
    this.#body = new BodyReader(framing);
    this.#endsWithConnection = framing.kind === 'close';
    return this.#body.isDone ? this.#whole() : null;
  }

  #readBody(body: BodyReader, octets: Uint8Array, from: number): OnceAnswer | string | null {
    for (let at = from; at < octets.length && !body.isDone;) {
      const next = body.read(octets, at);
      if (next === -1) return body.fault ?? 'the body';
      this.#size += body.to - body.from;
      if (this.#size > this.#maximumOctets) return { kind: 'too-large' };
      if (body.to > body.from) this.#chunks.push(body.content.subarray(body.from, body.to));
      at = next;
    }
    return body.isDone ? this.#whole() : null;
  }

  #whole(): OnceAnswer {
    return { kind: 'body', status: this.#status, body: Buffer.concat(this.#chunks) };
  }
}

/** The first one, if there are several; null: there is none. */
function locationOf({ octets, fieldsAt, fieldsEnd }: AnswerHead): string | null {
  const lines = Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1', fieldsAt, fieldsEnd);
  // Blanks are cut off afterwards: a pattern that looks for them takes the square of a line that is full of them.
  const found = /^location:(.*)\r$/im.exec(lines);
  return found === null ? null : found[1]!.trim();
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const SWITCHING = 101;
/** Early hints come once or twice; a server that goes on with them answers nothing. */
const MAXIMUM_INTERIM = 8;
const MAXIMUM_HEAD_OCTETS = 16_384;
