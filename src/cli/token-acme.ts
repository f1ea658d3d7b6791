import { openClient } from './client.ts';
import { neededOption, type Run, textOption, UsageError } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token acme`: two lines, as dehydrated's configuration and shells read them. */
export const run: Run = async (invocation) => {
  const minutes = Number(textOption(invocation, 'ttl') ?? 24 * 60);
  if (!(minutes > 0)) throw new UsageError('--ttl is not a number of minutes');
  const environment = textOption(invocation, 'environment');
  const order = {
    name: neededOption(invocation, 'name'),
    role: neededOption(invocation, 'role'),
    ttlMs: Math.round(minutes * 60_000),
    ...(environment === undefined ? {} : { environment }),
  };
  const client = openClient(invocation);
  await writeSecret(invocation, 'binding', async () => {
    const { keyId, macKey } = await client.post<{ readonly keyId: string; readonly macKey: string }>('/v1/acme-bindings', order);
    return `EAB_KID=${keyId}\nEAB_HMAC_KEY=${macKey}`;
  });
  return 'ok';
};
