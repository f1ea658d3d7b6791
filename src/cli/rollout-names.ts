import type { Client } from './client.ts';
import type { Invocation } from './command.ts';
import { queryOf } from './environment-query.ts';

export type NamedRollout = { readonly name: string; readonly environment: string };

/** The rollouts that a command is about: the one it names, or all that the token may see. */
export async function namedRollouts(client: Client, invocation: Invocation): Promise<readonly NamedRollout[]> {
  const { items } = await client.get<{ readonly items: readonly NamedRollout[] }>(`/v1/rollouts${queryOf(invocation)}`);
  const [wanted] = invocation.args;
  return wanted === undefined ? items : items.filter(({ name }) => name === wanted);
}
