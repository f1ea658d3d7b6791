import type { Client } from './client.ts';
import { type Invocation, UsageError } from './command.ts';
import { queryOf } from './environment-query.ts';

export type NamedRollout = { readonly name: string; readonly environment: string };

/** The rollouts that a command is about: those of the target that it names, or all that the token may see. */
export async function namedRollouts(client: Client, invocation: Invocation): Promise<readonly NamedRollout[]> {
  const { items } = await client.get<{ readonly items: readonly NamedRollout[] }>(`/v1/rollouts${queryOf(invocation)}`);
  const [wanted] = invocation.args;
  const named = items.filter(({ name }) => wanted === undefined || name === wanted);
  if (wanted !== undefined && named.length === 0) throw new UsageError(`there is no target ${wanted}, or the token does not cover it`);
  return named;
}
