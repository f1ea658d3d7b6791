import type { FetchKeys } from '../control/access/fetch-json.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import { fetchOutside } from '../platform/network/fetch-outside.ts';
import { makeNameResolver } from '../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../platform/network/outside-policy.ts';

/** How the keys of issuers are fetched. */
export function keyFetcher({ listen }: ServerConfig): FetchKeys {
  // An administrator names the issuers, which are all over the world; own listeners and link-local addresses stay refused.
  const policy = parseOutsidePolicy(['0.0.0.0/0', '::/0'], () => Object.values(listen));
  const resolver = makeNameResolver([]);
  return (request) => fetchOutside({ resolver, policy }, request);
}
