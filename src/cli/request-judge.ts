import { openClient } from './client.ts';
import { type Run, textOption } from './command.ts';
import { type ShownRequest, standingOf } from './shown-request.ts';

/** `countersign request approve` and `deny`. */
export function judgeRequest(verb: 'approval' | 'denial'): Run {
  return async (invocation) => {
    const reason = textOption(invocation, 'reason');
    const path = `/v1/issuance-requests/${encodeURIComponent(invocation.args[0] ?? '')}/${verb}`;
    const request = await openClient(invocation).post<ShownRequest>(path, reason === undefined ? {} : { reason });
    invocation.output.answer(request, () => [standingOf(request)]);
    return 'ok';
  };
}
