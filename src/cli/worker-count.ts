import { availableParallelism } from 'node:os';
import { UsageError } from './command.ts';

/** How many processes `--workers` asks for; `auto` is one a core. @throws UsageError */
export function workerCountOf(text: string): number {
  const count = text === 'auto' ? Math.min(availableParallelism(), MAXIMUM_WORKERS) : Number(/^\d{1,3}$/.exec(text)?.[0]);
  if (!(count >= 1 && count <= MAXIMUM_WORKERS))
    throw new UsageError(`--workers is ${JSON.stringify(text)}, expected 1 to ${MAXIMUM_WORKERS}, or auto`);
  return count;
}

/** Each has a heap, tables and connections of its own; more than cores only costs memory. */
const MAXIMUM_WORKERS = 64;
