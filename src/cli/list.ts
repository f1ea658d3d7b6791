import { openClient } from './client.ts';
import { type Run, UsageError } from './command.ts';
import { queryOf } from './environment-query.ts';
import { formatTable } from './output.ts';

type Item = { readonly [name: string]: unknown };

/** `countersign list KIND`. */
export const run: Run = async (invocation) => {
  const kind = invocation.args[0] ?? '';
  const columns = Object.hasOwn(columnsOf, kind) ? columnsOf[kind] : undefined;
  if (columns === undefined)
    throw new UsageError(`${kind === '' ? 'a kind is missing' : `${kind} is no kind`}, expected ${Object.keys(columnsOf).join(', ')}`);
  const { items } = await openClient(invocation).get<{ readonly items: readonly Item[] }>(`/v1/${kind}${queryOf(invocation)}`);
  invocation.output.answer({ items }, () => formatTable([columns, ...items.map((item) => columns.map((column) => cellOf(item[column])))]));
  return 'ok';
};

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const columnsOf: { readonly [kind: string]: readonly string[] } = {
  services: ['environment', 'name', 'owner', 'tier', 'spiffeId'],
  endpoints: ['environment', 'name', 'protocol', 'exposure', 'tier', 'owner', 'addresses'],
  paths: ['environment', 'id', 'caller', 'endpoint', 'allowed', 'mode'],
  proxies: ['environment', 'name', 'role', 'connected', 'generation', 'delivery'],
  exceptions: ['environment', 'name', 'kind', 'endpoint', 'owner', 'until', 'ended', 'used', 'reason'],
  discovered: ['environment', 'address', 'protocol', 'endpoint', 'lastSeenAt'],
  tokens: ['id', 'name', 'role', 'environments', 'expiresAt'],
  policies: ['environment', 'name', 'digest'],
  profiles: ['environment', 'name', 'base', 'cadence', 'lifetimeMs', 'names', 'approvals'],
  targets: ['environment', 'name', 'mode', 'endpoints'],
};
