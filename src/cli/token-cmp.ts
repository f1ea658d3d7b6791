import { neededOption, type Run, textOption, UsageError } from './command.ts';
import { givenFields, grantCommand, listedNames } from './grant-command.ts';

/** `countersign token cmp`: two lines, as shells read them. */
export const run: Run = grantCommand<{ readonly reference: string; readonly secret: string }>({
  path: '/v1/cmp-secrets',
  secret: 'secret',
  minutes: 24 * 60,
  order: (invocation) => {
    const uses = Number(textOption(invocation, 'uses') ?? 1);
    if (!Number.isInteger(uses) || uses < 1) throw new UsageError('--uses is not a count');
    const given = givenFields(invocation, { profile: 'profile', role: 'role', identity: 'spiffeId' });
    return { ...given, name: neededOption(invocation, 'name'), ...listedNames(invocation), uses };
  },
  show: ({ reference, secret }) => `CMP_REF=${reference}\nCMP_SECRET=${secret}`,
});
