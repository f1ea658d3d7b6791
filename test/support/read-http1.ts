import { framingOfAnswer, readStatusLine, type AnswerStart } from '../../src/core/http1/answer-head.ts';
import { BodyReader } from '../../src/core/http1/body-reader.ts';
import { type Head, HeadReader } from '../../src/core/http1/head-reader.ts';
import { framingOfRequest, keepsConnection, readRequestLine, type RequestStart } from '../../src/core/http1/request-head.ts';
import type { ReadMessage, ReadMessages } from './llhttp.ts';

/** `isBetween`: nothing is begun that is not whole. `used`: octets of all messages that are. */
export type OurReading = ReadMessages & { readonly isBetween: boolean; readonly used: number };

/** What our own reader makes of octets that come in these pieces. */
export function readByUs(pieces: readonly Buffer[], type: 'request' | 'answer'): OurReading {
  return type === 'request'
    ? new Reading(new HeadReader(readRequestLine), asRequest).read(pieces)
    : new Reading(new HeadReader(readStatusLine), asAnswer).read(pieces);
}

/** Cut at these places. */
export function cutAt(octets: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [0, ...places.filter((place) => place > 0 && place < octets.length).toSorted((a, b) => a - b), octets.length];
  return cuts.slice(1).map((to, index) => octets.subarray(cuts[index]!, to));
}

type Begun = { readonly start: string; readonly fields: readonly string[]; readonly body: BodyReader; readonly isLast: boolean } | null;

class Reading<Start> {
  readonly #reader: HeadReader<Start>;
  readonly #begin: (head: Head<Start>) => Begun;
  readonly #messages: ReadMessage[] = [];
  #begun: Begun = null;
  #content = '';
  #used = 0;
  #total = 0;
  #isClosed = false;

  constructor(reader: HeadReader<Start>, begin: (head: Head<Start>) => Begun) {
    this.#reader = reader;
    this.#begin = begin;
  }

  read(pieces: readonly Buffer[]): OurReading {
    for (const piece of pieces) {
      if (!this.#readPiece(piece)) return { messages: this.#messages, isRefused: true, isBetween: false, used: this.#used };
      this.#total += piece.length;
    }
    const isBetween = this.#begun === null && this.#reader.isEmpty;
    return { messages: this.#messages, isRefused: false, isBetween, used: this.#used };
  }

  /** False where it is refused. */
  #readPiece(piece: Buffer): boolean {
    for (let at = 0; at < piece.length;) {
      if (this.#isClosed) return false;
      if (this.#begun === null) {
        const reading = this.#reader.read(piece, at);
        if (reading.kind === 'incomplete') return true;
        if (reading.kind !== 'head') return false;
        this.#begun = this.#begin(reading.head);
        if (this.#begun === null) return false;
        at = reading.next;
      } else {
        const { body } = this.#begun;
        at = body.read(piece, at);
        if (at === -1) return false;
        this.#content += Buffer.from(body.content.subarray(body.from, body.to)).toString('latin1');
      }
      if (this.#begun.body.isDone) this.#finish(this.#begun, at);
    }
    return true;
  }

  #finish({ start, fields, isLast }: NonNullable<Begun>, at: number): void {
    this.#messages.push({ start, fields, body: this.#content });
    this.#begun = null;
    this.#isClosed = isLast;
    this.#content = '';
    this.#used = this.#total + at;
  }
}

function asRequest(head: Head<RequestStart>): Begun {
  const framing = framingOfRequest(head);
  if (framing.kind === 'malformed') return null;
  const { method, targetAt, targetEnd } = head.start;
  return {
    start: `${method} ${textOf(head.octets, targetAt, targetEnd)}`,
    fields: fieldsOf(head),
    body: new BodyReader(framing),
    isLast: !keepsConnection(head),
  };
}

function asAnswer(head: Head<AnswerStart>): Begun {
  const framing = framingOfAnswer(head, 'GET');
  if (framing.kind === 'malformed') return null;
  const isLast = head.fields.closes || (head.start.minor === 0 && !head.fields.keepsAlive);
  return { start: String(head.start.status), fields: fieldsOf(head), body: new BodyReader(framing), isLast };
}

function fieldsOf({ octets, fieldsAt, fieldsEnd }: Head<unknown>): string[] {
  const lines = textOf(octets, fieldsAt, fieldsEnd).split('\r\n').slice(0, -1);
  return lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')];
  });
}

function textOf(octets: Uint8Array, from: number, to: number): string {
  return Buffer.from(octets.subarray(from, to)).toString('latin1');
}
