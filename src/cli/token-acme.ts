import { neededOption, type Run } from './command.ts';
import { grantCommand } from './grant-command.ts';

/** `countersign token acme`: two lines, as dehydrated's configuration and shells read them. */
export const run: Run = grantCommand<{ readonly keyId: string; readonly macKey: string }>({
  path: '/v1/acme-bindings',
  secret: 'binding',
  minutes: 24 * 60,
  order: (invocation) => ({ name: neededOption(invocation, 'name'), role: neededOption(invocation, 'role') }),
  show: ({ keyId, macKey }) => `EAB_KID=${keyId}\nEAB_HMAC_KEY=${macKey}`,
});
