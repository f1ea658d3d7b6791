import type { HelloAnswer } from './ask-hello.ts';

/** What a server chose, first choice first; `complete` is false where it stopped answering before it refused. */
export type Choices = { readonly chosen: readonly number[]; readonly complete: boolean };

export type Enumeration = {
  readonly candidates: readonly number[];
  readonly ask: (offered: readonly number[]) => Promise<HelloAnswer>;
  /** The code that an answer chose; null: the answer is of another kind than was asked for. */
  readonly read: (answer: Extract<HelloAnswer, { kind: 'hello' }>) => number | null;
};

/** Offers all, takes out what was chosen and offers the rest, until the server refuses: as many connections as it has choices, and one. */
export async function enumerateChoices({ candidates, ask, read }: Enumeration): Promise<Choices> {
  const chosen: number[] = [];
  for (let left = candidates; left.length > 0;) {
    const answer = await ask(left);
    if (answer.kind !== 'hello') return { chosen, complete: answer.kind === 'refused' };
    const code = read(answer);
    // Whoever chooses what was not offered would be asked for ever.
    if (code === null || !left.includes(code)) return { chosen, complete: true };
    chosen.push(code);
    left = left.filter((candidate) => candidate !== code);
  }
  return { chosen, complete: true };
}
