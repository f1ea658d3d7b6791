import { openClient } from './client.ts';
import { type Invocation, neededOption, type Run, textOption, UsageError } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token scep`. */
export const run: Run = async (invocation) => {
  const minutes = Number(textOption(invocation, 'ttl') ?? 60);
  if (!(minutes > 0)) throw new UsageError('--ttl is not a number of minutes');
  const environment = textOption(invocation, 'environment');
  const spiffeId = textOption(invocation, 'spiffeId');
  const order = {
    profile: neededOption(invocation, 'profile'),
    dnsNames: listOf(invocation, 'dns'),
    ipAddresses: listOf(invocation, 'ip'),
    ttlMs: Math.round(minutes * 60_000),
    ...(spiffeId === undefined ? {} : { spiffeId }),
    ...(environment === undefined ? {} : { environment }),
  };
  const client = openClient(invocation);
  await writeSecret(
    invocation,
    'challenge',
    async () => (await client.post<{ readonly challenge: string }>('/v1/scep-challenges', order)).challenge,
  );
  return 'ok';
};

function listOf(invocation: Invocation, option: string): readonly string[] {
  return (textOption(invocation, option) ?? '').split(',').filter((item) => item !== '');
}
