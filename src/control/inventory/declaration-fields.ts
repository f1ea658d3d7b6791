import { isMap, isScalar, isSeq, type LineCounter, type Node, type YAMLMap } from 'yaml';
import { Problem } from '../../core/problems/problem.ts';

/** The fields of one YAML mapping, each read once into its form; what was not read is unknown, and an error. */
export type Fields = {
  readonly line: number;
  has(key: string): boolean;
  text(key: string, form: TextForm): string;
  word<Word extends string>(key: string, words: readonly Word[]): Word;
  /** The items of a list of texts; none if the key is absent. */
  texts(key: string, form: TextForm): readonly string[];
  /** The items of a list of mappings; none if the key is absent. */
  maps(key: string): readonly Fields[];
  map(key: string): Fields;
  /** A value as it stands, for a reader of its own. */
  plain(key: string): unknown;
  /** A whole number within the bounds, or the default if the key is absent. */
  number(key: string, bounds: readonly [low: number, high: number], otherwise: number): number;
  /** Whether `true` stands there; false if the key is absent. */
  flag(key: string): boolean;
  /** The keys that were not read yet. */
  unread(): readonly string[];
  /** @throws input-invalid for a key that nothing read */
  end(): void;
  fail(key: string, value: unknown, expected: string): Problem;
};

/** What a text must look like; `parse` may bring it into its one spelling and throws for what is not of the form. */
export type TextForm = { readonly expected: string; readonly parse: (text: string) => string };

/** @throws input-invalid unless the node is a mapping with plain text keys */
export function openFields(node: Node | null, path: string, lines: LineCounter): Fields {
  if (!isMap(node)) throw problemAt(lineOf(node, lines), path === '' ? 'the document' : path, describe(node), 'keys and values');
  return new MappingFields(node, path, lines);
}

class MappingFields implements Fields {
  readonly line: number;
  readonly #values = new Map<string, Node | null>();
  readonly #keyLines = new Map<string, number>();
  readonly #path: string;
  readonly #lines: LineCounter;
  readonly #read = new Set<string>();

  constructor(node: YAMLMap, path: string, lines: LineCounter) {
    this.#path = path;
    this.#lines = lines;
    this.line = lineOf(node, lines);
    for (const { key, value } of node.items) {
      const name = isScalar(key) && typeof key.value === 'string' ? key.value : null;
      if (name === null) throw problemAt(lineOf(key as Node | null, lines), this.#at('a key'), describe(key as Node | null), 'a word');
      this.#values.set(name, value as Node | null);
      this.#keyLines.set(name, lineOf(key as Node, lines));
    }
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  text(key: string, form: TextForm): string {
    return this.#parseText(key, this.#take(key, form.expected), form);
  }

  word<Word extends string>(key: string, words: readonly Word[]): Word {
    const expected = words.join(', ');
    const node = this.#take(key, expected);
    const word = isScalar(node) ? words.find((known) => known === node.value) : undefined;
    if (word === undefined) throw this.fail(key, describe(node), `one of ${expected}`);
    return word;
  }

  texts(key: string, form: TextForm): readonly string[] {
    const texts = this.#items(key).map((item, index) => this.#parseText(`${key}[${index}]`, item, form));
    const twice = texts.find((text, index) => texts.indexOf(text) !== index);
    if (twice !== undefined) throw this.fail(key, twice, 'each item once');
    return texts;
  }

  maps(key: string): readonly Fields[] {
    return this.#items(key).map((item, index) => openFields(item, this.#at(`${key}[${index}]`), this.#lines));
  }

  map(key: string): Fields {
    return openFields(this.#take(key, 'keys and values'), this.#at(key), this.#lines);
  }

  plain(key: string): unknown {
    this.#read.add(key);
    const node = this.#values.get(key) ?? null;
    return node === null ? undefined : (node as Node & { toJSON(): unknown }).toJSON();
  }

  number(key: string, [low, high]: readonly [number, number], otherwise: number): number {
    const value = this.plain(key);
    if (value === undefined && !this.has(key)) return otherwise;
    if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value;
    throw this.fail(key, value ?? 'nothing', `an integer from ${low} to ${high}`);
  }

  flag(key: string): boolean {
    const value = this.plain(key);
    if (!this.has(key)) return false;
    if (typeof value === 'boolean') return value;
    throw this.fail(key, value ?? 'nothing', 'true or false');
  }

  unread(): readonly string[] {
    return [...this.#values.keys()].filter((key) => !this.#read.has(key));
  }

  end(): void {
    const [unknown] = this.unread();
    if (unknown !== undefined) throw problemAt(this.#keyLines.get(unknown)!, this.#at(unknown), 'an unknown key', 'a documented one');
  }

  fail(key: string, value: unknown, expected: string): Problem {
    const top = key.replace(/[.[].*$/, '');
    const line = this.#keyLines.get(top) ?? this.line;
    return problemAt(line, this.#at(key), typeof value === 'string' ? value : String(JSON.stringify(value)), expected);
  }

  #take(key: string, expected: string): Node | null {
    this.#read.add(key);
    if (!this.#values.has(key)) throw problemAt(this.line, this.#at(key), 'nothing', expected);
    return this.#values.get(key)!;
  }

  #items(key: string): readonly (Node | null)[] {
    this.#read.add(key);
    if (!this.#values.has(key)) return [];
    const node = this.#values.get(key)!;
    if (!isSeq(node)) throw this.fail(key, describe(node), 'a list');
    if (node.items.length > MAXIMUM_ITEMS) throw this.fail(key, `${node.items.length} items`, `at most ${MAXIMUM_ITEMS}`);
    return node.items as (Node | null)[];
  }

  #parseText(key: string, node: Node | null, form: TextForm): string {
    if (!isScalar(node) || typeof node.value !== 'string' || !node.value.isWellFormed())
      throw this.fail(key, describe(node), form.expected);
    try {
      return form.parse(node.value);
    } catch (cause) {
      if (!(cause instanceof Problem)) throw cause;
      throw this.fail(key, describe(node), form.expected);
    }
  }

  #at(key: string): string {
    return this.#path === '' ? key : `${this.#path}.${key}`;
  }
}

/** Names the line and the field; what it holds is quoted as data and cut. */
export function problemAt(line: number, path: string, value: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot read declaration: line ${line}, ${path} holds ${value.slice(0, 120)}, expected ${expected}`);
}

function lineOf(node: Node | null, lines: LineCounter): number {
  const offset = node?.range?.[0];
  return offset === undefined ? 1 : lines.linePos(offset).line;
}

function describe(node: Node | null): string {
  if (isMap(node)) return 'keys and values';
  if (isSeq(node)) return 'a list';
  if (isScalar(node)) return String(JSON.stringify(node.value)).slice(0, 120);
  return 'nothing';
}

/** Callers of one endpoint, listeners of one proxy, endpoints of one target. */
const MAXIMUM_ITEMS = 1_000;
