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

/** `write` is told whole lines; stdout if not given. */
export function openOutput(json: boolean, write = (text: string): unknown => process.stdout.write(text)): Output {
  let isShowing = false;
  return {
    json,
    answer: (value, describe) => {
      if (isShowing) process.stderr.write(CLEARED);
      isShowing = false;
      // Here and not where the lines are made, so that no command can forget it.
      const lines = json ? [encodeJson(value)] : describe(value).map(escapeLine);
      write(`${lines.join('\n')}\n`);
    },
    remark: (text) => process.stderr.write(`${escapeText(text)}\n`),
    progress: (text) => {
      if (!process.stderr.isTTY || json) return;
      process.stderr.write(`${CLEARED}${escapeText(text)}`);
      isShowing = true;
    },
  };
}

/** Makes strings from outside harmless on a terminal: no control character survives (ECMA-48, bidirectional overrides too). */
export function escapeText(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** JSON on one line, in which what `escapeText` would take out is written as JSON itself can: by its number. */
export function encodeJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A heading may be bold; nothing else in a line reaches the terminal as it is. */
function escapeLine(line: string): string {
  const heading = HEADING.exec(line)?.[1];
  return heading === undefined ? escapeText(line) : `${BOLD}${escapeText(heading)}${PLAIN}`;
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

/** To the start of the line, and nothing left on it. */
const CLEARED = '\r\u001b[2K';
const UNSAFE = /[\p{Cc}\p{Bidi_Control}]/gu;
/** As `styleText` writes bold. */
const BOLD = '\u001b[1m';
const PLAIN = '\u001b[22m';
// oxlint-disable-next-line no-control-regex -- these are the two that it looks for
const HEADING = /^\u001b\[1m([^]*)\u001b\[22m$/;
