import { openClient } from './client.ts';
import { type Run, UsageError } from './command.ts';

/** `countersign token revoke ID`. */
export const run: Run = async (invocation) => {
  const [id] = invocation.args;
  if (id === undefined) throw new UsageError('the id of a token is missing');
  await openClient(invocation).delete(`/v1/tokens/${encodeURIComponent(id)}`);
  invocation.output.answer({ id, revoked: true }, () => [`${id} is refused from now on`]);
  return 'ok';
};
