import { readUsage } from './process-usage.ts';

/** What many operations cost: wall time of all, CPU time of the server's whole process tree, and how long each took, in milliseconds. */
export type Load = { readonly wallMs: number; readonly serverCpuMs: number; readonly waitsMs: readonly number[] };

/** Runs `count` operations, `clients` at a time, each client one after another; `client` is the number of who runs it. */
export async function runLoad(
  pid: number,
  { count, clients }: { readonly count: number; readonly clients: number },
  operate: (index: number, client: number) => Promise<void>,
): Promise<Load> {
  const waitsMs: number[] = [];
  let next = 0;
  const run = async (client: number): Promise<void> => {
    while (next < count) {
      const index = next++;
      const startedAt = performance.now();
      await operate(index, client);
      waitsMs.push(performance.now() - startedAt);
    }
  };
  const { cpuMs } = readUsage(pid);
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: clients }, (_, client) => run(client)));
  return { wallMs: performance.now() - startedAt, serverCpuMs: readUsage(pid).cpuMs - cpuMs, waitsMs };
}

/** The value that `part` (0 to 1) of the values do not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}
