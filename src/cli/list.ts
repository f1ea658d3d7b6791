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
  const cell = (item: Item, column: string): string => (column === 'envoy' ? envoyCellOf(item['envoy']) : cellOf(item[column]));
  invocation.output.answer({ items }, () => [
    ...formatTable([columns, ...items.map((item) => columns.map((column) => cell(item, column)))]),
    ...items.flatMap(refusedLines),
  ]);
  return 'ok';
};

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

type ShownEnvoy = {
  readonly connected: boolean;
  readonly state: string;
  readonly refused: readonly { readonly typeUrl: string; readonly name: string; readonly by: string; readonly reason: string }[];
};

function envoyCellOf(value: unknown): string {
  if (value === null || value === undefined) return '-';
  const { connected, state, refused } = value as ShownEnvoy;
  const words = [connected ? 'connected' : 'away', ...(state === 'current' ? [] : [state])];
  return [...words, ...(refused.length === 0 ? [] : [`${refused.length} refused`])].join(', ');
}

/** Which resources the Envoys do not have in their present form, and why. */
function refusedLines({ name: proxy, envoy }: Item): readonly string[] {
  if (envoy === null || envoy === undefined) return [];
  return (envoy as ShownEnvoy).refused.map(({ typeUrl, name, by, reason }) => {
    const who = by === 'envoy' ? 'refused' : 'withheld';
    return `${String(proxy)}: ${who} ${typeUrl.slice(typeUrl.lastIndexOf('.') + 1)} ${name}: ${reason}`;
  });
}

const columnsOf: { readonly [kind: string]: readonly string[] } = {
  services: ['environment', 'name', 'owner', 'tier', 'spiffeId'],
  endpoints: ['environment', 'name', 'protocol', 'exposure', 'tier', 'owner', 'addresses'],
  paths: ['environment', 'id', 'caller', 'endpoint', 'allowed', 'mode'],
  proxies: ['environment', 'name', 'role', 'plane', 'connected', 'generation', 'delivery', 'envoy'],
  exceptions: ['environment', 'name', 'kind', 'endpoint', 'owner', 'until', 'ended', 'used', 'reason'],
  discovered: ['environment', 'address', 'protocol', 'endpoint', 'lastSeenAt'],
  tokens: ['id', 'name', 'role', 'environments', 'expiresAt'],
  policies: ['environment', 'name', 'digest'],
  profiles: ['environment', 'name', 'base', 'cadence', 'lifetimeMs', 'names', 'approvals'],
  'acme-bindings': ['id', 'name', 'environment', 'role', 'maker', 'expiresAt'],
  'cmp-secrets': ['id', 'name', 'environment', 'profile', 'spiffeId', 'dnsNames', 'ipAddresses', 'used', 'uses', 'expiresAt'],
  'scep-challenges': ['id', 'environment', 'profile', 'spiffeId', 'dnsNames', 'ipAddresses', 'maker', 'expiresAt'],
  targets: ['environment', 'name', 'mode', 'endpoints'],
};
