/** One system call of a trace by `strace -f -yy`; its place in the file is its place in time. */
export type TracedCall = {
  readonly name: string;
  /** What its first descriptor stands for, as -yy says it: a path, or `TCP:[HERE->THERE]`. */
  readonly target: string;
  /** Negative where the call failed. */
  readonly result: number;
  /** Line on which it began, and on which it had ended; the same line where no other thread came between. */
  readonly begunAt: number;
  readonly endedAt: number;
};

/** Reads the calls of a trace that have ended, in the order of their ends. Signals, exits and calls without a descriptor are left out. */
export function readTrace(text: string): TracedCall[] {
  const calls: TracedCall[] = [];
  const unfinished = new Map<string, { readonly name: string; readonly target: string; readonly begunAt: number }>();
  for (const [at, line] of text.split('\n').entries()) {
    const begun = /^(\d+) +(\w+)\(\d+<(.*?)>(?=[,) ])/.exec(line);
    const resumed = /^(\d+) +<\.\.\. \w+ resumed>/.exec(line);
    if (begun !== null && line.endsWith('<unfinished ...>')) {
      unfinished.set(begun[1]!, { name: begun[2]!, target: begun[3]!, begunAt: at });
      continue;
    }
    const result = Number(/ = (-?\d+)(?: E\w+ .*)?$/.exec(line)?.[1] ?? Number.NaN);
    if (Number.isNaN(result)) continue;
    if (begun !== null) calls.push({ name: begun[2]!, target: begun[3]!, result, begunAt: at, endedAt: at });
    const earlier = resumed === null ? undefined : unfinished.get(resumed[1]!);
    if (earlier !== undefined) {
      unfinished.delete(resumed![1]!);
      calls.push({ ...earlier, result, endedAt: at });
    }
  }
  return calls;
}
