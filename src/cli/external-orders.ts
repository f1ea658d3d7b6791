import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { queryOf } from './environment-query.ts';
import { formatTable } from './output.ts';

type Item = {
  readonly id: string;
  readonly environment: string;
  readonly names: readonly string[];
  readonly status: string;
  readonly dueAt: number;
  readonly detail: string | null;
};

/** `countersign external orders`. */
export const run: Run = async (invocation) => {
  const { items } = await openClient(invocation).get<{ readonly items: readonly Item[] }>(`/v1/external-orders${queryOf(invocation)}`);
  const rows = items.map(({ id, environment, names, status, detail }) => [id, environment, names.join(' '), status, detail ?? '-']);
  invocation.output.answer({ items }, () => formatTable([['order', 'environment', 'names', 'status', 'why'], ...rows]));
  return 'ok';
};
