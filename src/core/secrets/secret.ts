import { inspect } from 'node:util';

/**
 * A value that must not be seen: it prints, serializes and interpolates as `[secret]`.
 * `reveal` is the only way to it, so that every use can be found by that name.
 */
export class Secret<T extends string | Uint8Array = string> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

const MASK = '[secret]';
