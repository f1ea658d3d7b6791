import { MachineTokens } from '../control/access/machine-tokens.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import { fetchOutside } from '../platform/network/fetch-outside.ts';
import { makeNameResolver } from '../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../platform/network/outside-policy.ts';
import type { State } from './open-state.ts';

/** The one judge of other issuers' tokens, whichever door they come to: their keys are fetched once. */
export function makeMachineTokens({ database }: State, config: ServerConfig, log: Log): MachineTokens {
  const { trustDomain, environment, region } = config;
  // An administrator names the issuers, which are all over the world; own listeners and link-local addresses stay refused.
  const policy = parseOutsidePolicy(['0.0.0.0/0', '::/0'], () => Object.values(config.listen));
  const resolver = makeNameResolver([]);
  const fetch = (request: Parameters<typeof fetchOutside>[1]) => fetchOutside({ resolver, policy }, request);
  return new MachineTokens({ database, trustDomain, place: { environment, region }, fetch, log });
}
