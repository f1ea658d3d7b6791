import { styleText } from 'node:util';

/** Tells the person at the terminal what happens: one line a step, on stderr, replaced in place on a terminal. */
export type Progress = {
  step(title: string): void;
  note(text: string): void;
  /** What changes while a step lasts; shown on a terminal only. */
  tick(text: string): void;
};

export function openProgress(startedAt: number): Progress {
  const isTerminal = process.stderr.isTTY === true;
  const clear = isTerminal ? '\r\u001b[2K' : '';
  const seconds = (): string => ((Date.now() - startedAt) / 1000).toFixed(1).padStart(5);
  return {
    step: (title) => process.stderr.write(`${clear}${seconds()} s  ${styleText('bold', title, { stream: process.stderr })}\n`),
    note: (text) => process.stderr.write(`${clear}         ${escapeText(text)}\n`),
    tick: (text) => {
      if (isTerminal) process.stderr.write(`${clear}         ${escapeText(text)}`);
    },
  };
}

/** Makes text from outside harmless on a terminal. */
export function escapeText(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
