import { openClient } from './client.ts';
import { type Run, textOption, UsageError } from './command.ts';
import { queryOf } from './environment-query.ts';

/** `countersign ticket rotate`: orders other ticket keys; the data planes have them within a second or so. */
export const run: Run = async (invocation) => {
  const service = textOption(invocation, 'service');
  if ((invocation.options['all'] === true) === (service !== undefined)) throw new UsageError('expected exactly one of --all and --service');
  const reason = textOption(invocation, 'reason');
  const order = {
    rotation: invocation.options['leaked'] === true ? 'replace-all' : 'step',
    ...(service === undefined ? {} : { service }),
    ...(reason === undefined ? {} : { reason }),
  };
  const client = openClient(invocation);
  const answer = await client.post<{ readonly identities: readonly string[] }>(`/v1/ticket-key-rotations${queryOf(invocation)}`, order);
  invocation.output.answer(answer, ({ identities }) => identities.map((identity) => `rotated ${identity}`));
  return 'ok';
};
