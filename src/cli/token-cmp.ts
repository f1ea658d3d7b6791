import { openClient } from './client.ts';
import { neededOption, type Run, textOption, UsageError } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token cmp`: two lines, as shells read them; with --revoke, the end of such a secret. */
export const run: Run = async (invocation) => {
  const revoked = textOption(invocation, 'revoke');
  if (revoked !== undefined) {
    await openClient(invocation).delete(`/v1/cmp-secrets/${encodeURIComponent(revoked)}`);
    invocation.output.answer({ id: revoked, revoked: true }, () => [`${revoked} buys nothing any more`]);
    return 'ok';
  }
  const minutes = Number(textOption(invocation, 'ttl') ?? 24 * 60);
  if (!(minutes > 0)) throw new UsageError('--ttl is not a number of minutes');
  const uses = Number(textOption(invocation, 'uses') ?? 1);
  if (!Number.isInteger(uses) || uses < 1) throw new UsageError('--uses is not a count');
  const list = (key: string): readonly string[] => textOption(invocation, key)?.split(',') ?? [];
  const given = { environment: 'environment', profile: 'profile', role: 'role', identity: 'spiffeId' } as const;
  const bounds = Object.entries(given).flatMap(([option, field]) => {
    const value = textOption(invocation, option);
    return value === undefined ? [] : [[field, value] as const];
  });
  const order = {
    ...Object.fromEntries(bounds),
    name: neededOption(invocation, 'name'),
    dnsNames: list('dns'),
    ipAddresses: list('ip'),
    uses,
    ttlMs: Math.round(minutes * 60_000),
  };
  const client = openClient(invocation);
  await writeSecret(invocation, 'secret', async () => {
    const { reference, secret } = await client.post<{ readonly reference: string; readonly secret: string }>('/v1/cmp-secrets', order);
    return `CMP_REF=${reference}\nCMP_SECRET=${secret}`;
  });
  return 'ok';
};
