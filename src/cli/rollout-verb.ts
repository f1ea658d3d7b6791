import { openClient } from './client.ts';
import { type Run, UsageError } from './command.ts';
import { orderOf } from './environment-query.ts';

/** `countersign rollout start|pause|retry TARGET`. */
export function rolloutVerb(verb: 'start' | 'pause' | 'retry'): Run {
  return async (invocation) => {
    const [target] = invocation.args;
    if (target === undefined) throw new UsageError('the target is missing');
    const answer = await openClient(invocation).post<unknown>(`/v1/rollouts/${encodeURIComponent(target)}/${verb}`, orderOf(invocation));
    invocation.output.answer(answer ?? {}, () => [`${target}: ${verb} ordered`]);
    return 'ok';
  };
}
