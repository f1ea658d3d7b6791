import { openClient } from './client.ts';
import { type Run, UsageError } from './command.ts';

/** `countersign token distrust ID`. */
export const run: Run = async (invocation) => {
  const [id] = invocation.args;
  if (id === undefined) throw new UsageError('the id of an identity provider is missing');
  await openClient(invocation).delete(`/v1/identity-providers/${encodeURIComponent(id)}`);
  invocation.output.answer({ id, removed: true }, () => [`tokens of ${id} are taken no longer`]);
  return 'ok';
};
