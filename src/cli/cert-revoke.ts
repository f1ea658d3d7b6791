import { openClient } from './client.ts';
import { type Run, textOption, UsageError } from './command.ts';

/** `countersign cert revoke SERIAL`. */
export const run: Run = async (invocation) => {
  const [serial] = invocation.args;
  if (serial === undefined) throw new UsageError('the serial is missing');
  const issuer = textOption(invocation, 'issuer');
  const body = { reason: textOption(invocation, 'reason') ?? 'unspecified', ...(issuer === undefined ? {} : { issuer }) };
  const answer = await openClient(invocation).post<unknown>(`/v1/certificates/${encodeURIComponent(serial)}/revocation`, body);
  invocation.output.answer(answer ?? {}, () => [`${serial} revoked`]);
  return 'ok';
};
