import { openClient } from './client.ts';
import { type Run, textOption, UsageError } from './command.ts';

/** `countersign identity suspend|resume SPIFFE-ID`. */
export function identityOrder(verb: 'suspend' | 'resume'): Run {
  return async (invocation) => {
    const [spiffeId] = invocation.args;
    if (spiffeId === undefined) throw new UsageError('the SPIFFE ID is missing');
    const reason = textOption(invocation, 'reason');
    const answer = await openClient(invocation).post<unknown>(`/v1/identities/${verb}`, {
      spiffeId,
      ...(reason === undefined ? {} : { reason }),
    });
    invocation.output.answer(answer ?? {}, () => [`${spiffeId}: ${verb === 'suspend' ? 'suspended' : 'resumed'}`]);
    return 'ok';
  };
}
