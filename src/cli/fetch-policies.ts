import type { Policy } from '../core/policy/policy.ts';
import { type Client, openClient } from './client.ts';
import { type Invocation, UsageError } from './command.ts';
import { queryOf } from './environment-query.ts';

export type ListedPolicy = { readonly environment: string; readonly name: string; readonly policy: Policy };

/** The policies that a control plane has. */
export async function listPolicies(client: Client, query: string): Promise<readonly ListedPolicy[]> {
  return (await client.get<{ readonly items: readonly ListedPolicy[] }>(`/v1/policies${query}`)).items;
}

/** The same by name, of the one environment that is asked for. @throws UsageError where a name stands for two */
export async function fetchPolicies(invocation: Invocation): Promise<ReadonlyMap<string, Policy>> {
  const listed = await listPolicies(openClient(invocation), queryOf(invocation));
  const policies = new Map(listed.map(({ name, policy }) => [name, policy]));
  if (policies.size < listed.length) throw new UsageError('policies of one name are in several environments, expected --environment');
  return policies;
}
