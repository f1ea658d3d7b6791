import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { queryOf } from './environment-query.ts';

/** `countersign coverage`. */
export const run: Run = async (invocation) => {
  const coverage = await openClient(invocation).get<{ readonly [name: string]: unknown }>(`/v1/coverage${queryOf(invocation)}`);
  invocation.output.answer(coverage, () => Object.entries(coverage).map(([name, value]) => `${name}: ${JSON.stringify(value)}`));
  return 'ok';
};
