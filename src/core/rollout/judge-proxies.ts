import type { EntityId } from '../ids/entity-id.ts';
import type { Instant } from '../time/instant.ts';
import type { Reason } from './reason.ts';
import type { RolloutConfig } from './rollout-config.ts';
import type { EndpointFacts, PathFacts, ProxyFacts } from './rollout-facts.ts';

type Subject = { readonly pathId?: EntityId<'path'>; readonly endpointId?: EntityId<'endpoint'> };

/** Why these proxies do not count as having done what they were told. A silent one never counts, whatever it acknowledged before. */
export function judgeProxies(now: Instant, proxies: readonly ProxyFacts[], silentMs: number, subject: Subject): Reason[] {
  return proxies.flatMap(({ proxyId, delivery, lastReportAt }): Reason[] => {
    if (delivery.kind === 'refused') return [{ code: 'settings-refused', proxyId, detail: delivery.detail, ...subject }];
    if (delivery.kind === 'pending') return [{ code: 'not-acknowledged', proxyId, ...subject }];
    if (lastReportAt === null) return [{ code: 'proxy-silent', proxyId, ...subject }];
    if (now - lastReportAt > silentMs) return [{ code: 'proxy-silent', proxyId, lastSeenAt: lastReportAt, ...subject }];
    return [];
  });
}

/** Why the endpoint's proxies are not ready. */
export function judgeReceivers(now: Instant, endpoint: EndpointFacts, config: RolloutConfig): Reason[] {
  const { endpointId } = endpoint;
  if (endpoint.receivers.length === 0) return [{ code: 'endpoint-without-proxy', endpointId }];
  return judgeProxies(now, endpoint.receivers, config.silentMs, { endpointId });
}

/** Why the caller's proxies are not ready. Those of a suspended caller are cut off on purpose, and one of another trust domain has none, so nothing waits for them. */
export function judgeCallers(now: Instant, path: PathFacts, config: RolloutConfig): Reason[] {
  const { pathId, endpointId, caller } = path;
  if (path.callerSuspended || path.callerIs === 'foreign') return [];
  if (path.callerProxies.length === 0) return [{ code: 'caller-without-proxy', pathId, endpointId, caller }];
  return judgeProxies(now, path.callerProxies, config.silentMs, { pathId, endpointId });
}
