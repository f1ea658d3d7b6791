import { openClient } from './client.ts';
import { type Run, UsageError } from './command.ts';

/** `countersign person erase NAME`. */
export const run: Run = async (invocation) => {
  const [name] = invocation.args;
  if (name === undefined) throw new UsageError('the name of a person is missing');
  const answer = await openClient(invocation).post<{ readonly rows: number }>('/v1/persons/erasure', { name });
  invocation.output.answer(answer, () => [`forgotten, in ${answer.rows} rows`]);
  return 'ok';
};
