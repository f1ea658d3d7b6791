import { openClient } from './client.ts';
import { neededOption, type Run, textOption } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token create`. */
export const run: Run = async (invocation) => {
  const environments = textOption(invocation, 'environments') ?? 'all';
  const order = {
    name: neededOption(invocation, 'name'),
    role: neededOption(invocation, 'role'),
    environments: environments === 'all' ? '*' : environments.split(','),
  };
  const client = openClient(invocation);
  await writeSecret(invocation, 'token', async () => (await client.post<{ readonly token: string }>('/v1/tokens', order)).token);
  return 'ok';
};
