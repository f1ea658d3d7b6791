import { openClient } from './client.ts';
import { neededOption, type Run, textOption } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token create`. */
export const run: Run = async (invocation) => {
  const environments = textOption(invocation, 'environments') ?? 'all';
  const answer = await openClient(invocation).post<{ readonly token: string }>('/v1/tokens', {
    name: neededOption(invocation, 'name'),
    role: neededOption(invocation, 'role'),
    environments: environments === 'all' ? '*' : environments.split(','),
  });
  await writeSecret(invocation, 'token', answer.token);
  return 'ok';
};
