import { openClient } from './client.ts';
import { neededOption, type Run, textOption, UsageError } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token join`. */
export const run: Run = async (invocation) => {
  const minutes = Number(textOption(invocation, 'ttl') ?? 60);
  if (!(minutes > 0)) throw new UsageError('--ttl is not a number of minutes');
  const environment = textOption(invocation, 'environment');
  const order = {
    proxy: neededOption(invocation, 'proxy'),
    ttlMs: Math.round(minutes * 60_000),
    ...(environment === undefined ? {} : { environment }),
  };
  const client = openClient(invocation);
  await writeSecret(invocation, 'token', async () => (await client.post<{ readonly token: string }>('/v1/join-tokens', order)).token);
  return 'ok';
};
