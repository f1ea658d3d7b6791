import { styleText } from 'node:util';

/** Where a command writes: answers to stdout, remarks and progress to stderr. */
export type Output = {
  readonly json: boolean;
  /** One JSON document with `--json`; otherwise the lines that `describe` makes of it. */
  answer<T>(value: T, describe: (value: T) => readonly string[]): void;
  remark(text: string): void;
  /** A line that is replaced by the next one on a terminal and left out elsewhere. */
  progress(text: string): void;
};

export function openOutput(json: boolean): Output {
  return {
    json,
    answer: (value, describe) => {
      const lines = json ? [JSON.stringify(value)] : describe(value);
      process.stdout.write(`${lines.join('\n')}\n`);
    },
    remark: (text) => process.stderr.write(`${escapeText(text)}\n`),
    progress: (text) => {
      if (process.stderr.isTTY && !json) process.stderr.write(`\r\u001b[2K${escapeText(text)}`);
    },
  };
}

/** Makes strings from outside harmless on a terminal: no control character survives (ECMA-48, bidirectional overrides too). */
export function escapeText(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Columns padded to their widest cell; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const safe = rows.map((row) => row.map(escapeText));
  const widths = safe.reduce<number[]>((found, row) => row.map((cell, column) => Math.max(found[column] ?? 0, cell.length)), []);
  return safe.map((row, index) => {
    const line = row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
    return index === 0 ? styleText('bold', line, { stream: process.stdout }) : line;
  });
}

const UNSAFE = /[\p{Cc}\p{Bidi_Control}]/gu;
