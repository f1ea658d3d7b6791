import { Problem } from '../problems/problem.ts';

/** Keys and values, and no keys but these. @throws input-invalid */
export function readObject(field: string, value: unknown, keys: readonly string[]): { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, value, 'keys and values');
  for (const key of Object.keys(value)) if (!keys.includes(key)) throw invalid(field, key, `only ${keys.join(', ')}`);
  return value as { readonly [key: string]: unknown };
}

/** An integer within these bounds. @throws input-invalid */
export function readNumber(field: string, value: unknown, [low, high]: readonly [number, number], otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high) {
    throw invalid(field, value, `an integer from ${low} to ${high}`);
  }
  return value;
}

/** Left out, it is false. @throws input-invalid */
export function readBoolean(field: string, value: unknown): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw invalid(field, value, 'true or false');
  return value === true;
}

/** One of these words. @throws input-invalid */
export function readWord<Word extends string>(field: string, value: unknown, words: readonly Word[], otherwise: Word): Word {
  if (value === undefined) return otherwise;
  const word = words.find((known) => known === value);
  if (word === undefined) throw invalid(field, value, words.map((known) => JSON.stringify(known)).join(', '));
  return word;
}

/** Some of these words, in the order given. @throws input-invalid */
export function readWords<Word extends string>(
  field: string,
  value: unknown,
  known: { readonly [word in Word]: unknown },
  otherwise: readonly Word[],
): readonly Word[] {
  if (value === undefined) return otherwise;
  const words = Object.keys(known) as Word[];
  if (!Array.isArray(value) || value.length === 0 || new Set(value).size !== value.length) {
    throw invalid(field, value, 'a list of at least one word, each once');
  }
  return value.map((item: unknown, index) => readWord(`${field}[${index}]`, item, words, words[0]!));
}

/** In the order of the known words, so that equal sets are equal policies. */
export function readSet<Word extends string>(field: string, value: unknown, words: readonly Word[]): readonly Word[] {
  const isSet = Array.isArray(value) && new Set(value).size === value.length && value.every((word) => words.includes(word as Word));
  if (!isSet) throw invalid(field, value, `a list of ${words.join(', ')}, each once`);
  return words.filter((word) => value.includes(word));
}

/** @throws input-invalid */
export function readList(field: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > 20) throw invalid(field, value, 'a list of 1 to 20');
  return value;
}

/** @throws input-invalid */
export function readText(field: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[\x21-\x7e]{1,500}$/.test(value))
    throw invalid(field, value, 'a text of 1 to 500 visible characters');
  return value;
}

/** What was found in a field, and what was expected. */
export function invalid(field: string, value: unknown, expected: string): Problem {
  return new Problem(
    'input-invalid',
    `Cannot read policy: ${field} holds ${String(JSON.stringify(value)).slice(0, 100)}, expected ${expected}`,
  );
}
