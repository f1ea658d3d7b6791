import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { queryOf } from './environment-query.ts';
import { formatTable } from './output.ts';

type Item = {
  readonly environment: string;
  readonly name: string;
  readonly trustDomain: string;
  readonly profile: string;
  readonly sequence: number | null;
  readonly authorities: readonly unknown[];
  readonly fetchedAt: number | null;
  readonly fault: string | null;
};

/** `countersign federation list`. */
export const run: Run = async (invocation) => {
  const { items } = await openClient(invocation).get<{ readonly items: readonly Item[] }>(`/v1/federation${queryOf(invocation)}`);
  const rows = items.map(({ environment, name, trustDomain, profile, sequence, authorities, fetchedAt, fault }) => [
    environment,
    name,
    trustDomain,
    profile,
    sequence === null ? '-' : String(sequence),
    String(authorities.length),
    fetchedAt === null ? 'never' : new Date(fetchedAt).toISOString(),
    fault ?? '-',
  ]);
  const columns = ['environment', 'name', 'trust domain', 'profile', 'sequence', 'authorities', 'fetched', 'fault'];
  invocation.output.answer({ items }, () => formatTable([columns, ...rows]));
  return 'ok';
};
