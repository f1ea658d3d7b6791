import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { type ShownRequest, standingOf } from './shown-request.ts';
import { reserveOut } from './write-secret.ts';

/** `countersign request show`. */
export const run: Run = async (invocation) => {
  await using out = await reserveOut(invocation);
  const id = encodeURIComponent(invocation.args[0] ?? '');
  const request = await openClient(invocation).get<ShownRequest & { readonly pem: string | null }>(`/v1/issuance-requests/${id}`);
  if (request.pem !== null) await out?.write(request.pem);
  invocation.output.answer(request, () => [
    standingOf(request),
    ...(out === null && request.pem !== null ? request.pem.trimEnd().split('\n') : []),
  ]);
  return request.status === 'issued' || request.status === 'ordered' ? 'ok' : 'no';
};
