import { type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Draft } from './draft.ts';

/**
 * Identities of other trust domains that nobody could verify, because their domain is not declared where they are to be let in; and what would need a
 * proxy of ours at the other end.
 */
export function refuseUnfederated({ services, endpoints, proxies, federatedDomains }: Draft, own: TrustDomain): void {
  const declared = new Set([...federatedDomains.values()].map(({ environment, trustDomain }) => `${environment} ${trustDomain}`));
  const demand = (what: string, environment: string, id: SpiffeId): void => {
    const trustDomain = trustDomainOf(id);
    if (trustDomain === own || declared.has(`${environment} ${trustDomain}`)) return;
    throw refused(what, `${id} is of ${trustDomain}, expected a FederatedTrustDomain of it in ${environment}`);
  };
  const foreign = new Map<string, string>();
  for (const { id, name, environment, spiffeId } of services.values()) {
    demand(`Service ${name}`, environment, spiffeId);
    if (trustDomainOf(spiffeId) !== own) foreign.set(id, name);
  }
  for (const { name, environment, allowedCallers, serviceId, external, routes } of endpoints.values()) {
    for (const caller of allowedCallers) demand(`Endpoint ${name}`, environment, caller);
    const service = foreign.get(serviceId);
    if (service !== undefined && (external !== null || routes.length > 0)) {
      throw refused(`Endpoint ${name}`, `its service ${service} is of another trust domain, expected neither external nor routes`);
    }
  }
  for (const { name, serviceId } of proxies.values()) {
    const service = serviceId === null ? undefined : foreign.get(serviceId);
    if (service !== undefined)
      throw refused(`Proxy ${name}`, `service ${service} is of another trust domain, which has proxies of its own`);
  }
}

function refused(what: string, why: string): Problem {
  return new Problem('state-conflict', `Cannot apply declaration: ${what}: ${why}`);
}
