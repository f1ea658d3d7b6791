import type { Output } from './output.ts';
import type { ExitName } from './exit-codes.ts';

/** What a command is run with: its own arguments and options by name, as commander gives them. */
export type Invocation = {
  readonly args: readonly string[];
  readonly options: { readonly [name: string]: string | boolean | undefined };
  readonly output: Output;
};

export type Run = (invocation: Invocation) => Promise<ExitName>;

/** An option as commander writes it, with its sentence. */
export type OptionLine = readonly [flags: string, meaning: string];

/** One row of the command table: help, documents and dispatch all come from it. */
export type Command = {
  /** The words after `countersign`. */
  readonly words: string;
  /** Positional arguments as commander writes them: `<file>`, `[range...]`. */
  readonly arguments?: readonly OptionLine[];
  readonly summary: string;
  readonly options: readonly OptionLine[];
  /** Talks to a server: takes --server, --root and --token-file. */
  readonly client: boolean;
  readonly example: string;
  /** The command's own module is loaded only when it runs. */
  readonly load: () => Promise<{ readonly run: Run }>;
};

/** The text of an option that must be there. */
export function neededOption({ options }: Invocation, name: string): string {
  const value = options[name];
  if (typeof value !== 'string' || value === '')
    throw new UsageError(`--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is missing`);
  return value;
}

export function textOption({ options }: Invocation, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The command line is not as documented; ends with exit code `usage`. */
export class UsageError extends Error {}
