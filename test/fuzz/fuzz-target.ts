import type { Random } from './random.ts';

/** A reader of what strangers send. */
export type FuzzTarget = {
  readonly name: string;
  /** Good inputs, and inputs that once were trouble: where mutation begins. The same at every run. */
  readonly corpus: readonly Uint8Array[];
  readonly mutate: (random: Random, input: Uint8Array, corpus: readonly Uint8Array[]) => Uint8Array;
  /**
   * Reads the input. `accepted` and `refused` are both fine; whatever it throws is a finding. A target checks here, too, what must hold of what
   * it accepted.
   */
  readonly examine: (input: Uint8Array) => 'accepted' | 'refused';
};

/** Runs a parser whose refusals are errors of a known kind; any other error is let through. */
export function judged(parse: () => unknown, isRefusal: (error: unknown) => boolean): 'accepted' | 'refused' {
  try {
    parse();
    return 'accepted';
  } catch (error) {
    if (isRefusal(error)) return 'refused';
    throw error;
  }
}
