import { neededOption, type Run } from './command.ts';
import { givenFields, grantCommand, listedNames } from './grant-command.ts';

/** `countersign token scep`. */
export const run: Run = grantCommand<{ readonly challenge: string }>({
  path: '/v1/scep-challenges',
  secret: 'challenge',
  minutes: 60,
  order: (invocation) => ({
    profile: neededOption(invocation, 'profile'),
    ...listedNames(invocation),
    ...givenFields(invocation, { spiffeId: 'spiffeId' }),
  }),
  show: ({ challenge }) => challenge,
});
