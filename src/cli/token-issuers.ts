import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { formatTable } from './output.ts';

type Item = {
  readonly id: string;
  readonly environment: string;
  readonly name: string;
  readonly provider: { readonly issuer: string; readonly audience: string; readonly rules: readonly { readonly name: string }[] };
};

/** `countersign token issuers`. */
export const run: Run = async (invocation) => {
  const { items } = await openClient(invocation).get<{ readonly items: readonly Item[] }>('/v1/identity-providers');
  const rows = items.map(({ id, environment, name, provider: { issuer, audience, rules } }) => [
    environment,
    name,
    issuer,
    audience,
    rules.map((rule) => rule.name).join(', '),
    id,
  ]);
  invocation.output.answer({ items }, () => formatTable([['environment', 'name', 'issuer', 'audience', 'rules', 'id'], ...rows]));
  return 'ok';
};
