import { openClient } from './client.ts';
import { neededOption, type Run, UsageError } from './command.ts';

/** `countersign rollout weaken PATH`. */
export const run: Run = async (invocation) => {
  const [path] = invocation.args;
  const until = Date.parse(neededOption(invocation, 'until'));
  if (path === undefined || Number.isNaN(until)) throw new UsageError('expected a path and --until with an ISO date');
  const body = { to: neededOption(invocation, 'mode'), until: new Date(until).toISOString(), reason: neededOption(invocation, 'reason') };
  const answer = await openClient(invocation).post<unknown>(`/v1/paths/${encodeURIComponent(path)}/weaken`, body);
  invocation.output.answer(answer ?? {}, () => [`${path} is ${body.to} until ${body.until}`]);
  return 'ok';
};
