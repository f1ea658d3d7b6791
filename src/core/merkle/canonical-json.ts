import { Problem } from '../problems/problem.ts';

/** A value that JSON can hold. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [name: string]: JsonValue };

/** A value that is written already, to stand in one around it: what is asked for its size first need not be written twice. */
export class WrittenJson {
  readonly text: string;

  /** @throws as `canonicalJson` */
  constructor(value: JsonValue) {
    this.text = canonicalJson(value);
  }
}

type Writable = JsonValue | WrittenJson | readonly Writable[] | { readonly [name: string]: Writable };

/**
 * The one spelling of a JSON value (RFC 8785): keys by UTF-16 code units, numbers and strings as ECMAScript writes them.
 * @throws input-invalid on NaN, infinities, lone surrogates, anything that is no JSON value, and depth over 64
 */
export function canonicalJson(value: Writable): string {
  return write(value, 0);
}

function write(value: Writable, depth: number): string {
  if (depth > MAXIMUM_DEPTH) throw invalid(`deeper than ${MAXIMUM_DEPTH}`);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw invalid(`number ${value}`);
    // RFC 8785 section 3.2.2.3 is ECMAScript's own number formatting; minus zero is written 0.
    return JSON.stringify(value);
  }
  if (typeof value === 'string') return writeString(value);
  if (Array.isArray(value)) return writeList(value, depth);
  if (typeof value !== 'object') throw invalid(`a ${typeof value}`);
  if (value instanceof WrittenJson) return value.text;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw invalid('an object with a class');
  return writeMembers(value as { readonly [name: string]: Writable }, depth);
}

function writeList(items: readonly Writable[], depth: number): string {
  let text = '';
  for (const item of items) text += `${text === '' ? '' : ','}${write(item, depth + 1)}`;
  return `[${text}]`;
}

function writeMembers(object: { readonly [name: string]: Writable }, depth: number): string {
  let text = '';
  // Without a comparison of its own, `toSorted` goes by UTF-16 code units.
  for (const name of Object.keys(object).toSorted()) {
    text += `${text === '' ? '' : ','}${writeString(name)}:${write(object[name]!, depth + 1)}`;
  }
  return `{${text}}`;
}

function writeString(text: string): string {
  if (!text.isWellFormed()) throw invalid('a string with a lone surrogate');
  return JSON.stringify(text);
}

function invalid(found: string): Problem {
  return new Problem('input-invalid', `Cannot write canonical JSON: ${found}`);
}

const MAXIMUM_DEPTH = 64;
