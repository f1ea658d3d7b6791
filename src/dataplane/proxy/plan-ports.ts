import { Problem } from '../../core/problems/problem.ts';
import { type Address, formatAddress } from '../tls/address.ts';
import type { PassthroughListener } from '../tls/passthrough-settings.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { InboundListener, OutboundListener, OutboundSettings, ProxyPorts } from '../tls/proxy-settings.ts';
import type { Trust } from '../tls/trust.ts';
import { makeWay, OutboundPort, retireWay, type Way, wayKey } from './outbound-port.ts';
import { PassthroughPort } from './passthrough-port.ts';
import { type Next, nextService, serviceKey, ServicePort } from './service-port.ts';

export type PortHandler = ServicePort | OutboundPort | PassthroughPort;

/** What one listening socket shall do, with all that could go wrong made beforehand. */
export type PortPlan = {
  readonly key: string;
  readonly address: Address;
  readonly drainMs: number;
  make(): PortHandler;
  /** Gives the settings to what stands behind the socket now; false if that is of another kind. */
  update(handler: PortHandler): boolean;
  /** Lets go of what was made for nothing. */
  undo(): void;
};

type PlanOptions = {
  readonly settings: ProxyPorts;
  readonly serverTrust: Trust;
  readonly handlerAt: (key: string) => PortHandler | null;
};

/** @throws input-invalid for a policy that OpenSSL does not take; nothing is left over then */
export function planPorts(deps: PortDeps, { settings, serverTrust, handlerAt }: PlanOptions): readonly PortPlan[] {
  const plans: PortPlan[] = [];
  try {
    for (const inbound of settings.inbound) {
      plans.push(planInbound(deps, inbound, { serverTrust, current: handlerAt(formatAddress(inbound.listen)) }));
    }
    for (const listener of settings.passthrough) plans.push(planPassthrough(deps, listener));
    for (const outbound of settings.outbound) {
      plans.push(planOutbound(deps, outbound, { serverTrust, current: handlerAt(formatAddress(outbound.listen)) }));
    }
  } catch (error) {
    for (const plan of plans) plan.undo();
    throw error;
  }
  return plans;
}

/** The next hop of a port: the one that it has, if nothing about it has changed. @throws input-invalid */
export function nextOf(
  deps: PortDeps,
  { onward }: InboundListener,
  { serverTrust, held }: { readonly serverTrust: Trust; readonly held: Next | null },
): Next {
  const key = onward.kind === 'service' ? serviceKey(onward.upstream) : wayKey(deps, onward.outbound, serverTrust);
  if (held?.key === key) return held;
  return onward.kind === 'service' ? nextService(onward.upstream) : nextEndpoint(tryWay(deps, onward.outbound, serverTrust));
}

type Surroundings = { readonly serverTrust: Trust; readonly current: PortHandler | null };

function planInbound(deps: PortDeps, settings: InboundListener, { serverTrust, current }: Surroundings): PortPlan {
  const held = current instanceof ServicePort ? current.next : null;
  const next = nextOf(deps, settings, { serverTrust, held });
  return {
    ...placeOf(settings),
    make: () => new ServicePort(deps, settings, next),
    update: (handler) => handler instanceof ServicePort && (handler.update(settings, next), true),
    undo: () => void (next !== held && next.retire(0)),
  };
}

function planPassthrough(deps: PortDeps, settings: PassthroughListener): PortPlan {
  return {
    ...placeOf(settings),
    make: () => new PassthroughPort(deps, settings),
    update: (handler) => handler instanceof PassthroughPort && (handler.update(settings), true),
    undo() {},
  };
}

function planOutbound(deps: PortDeps, settings: OutboundListener, { serverTrust, current }: Surroundings): PortPlan {
  if (current instanceof OutboundPort && current.isOnWay(wayKey(deps, settings, serverTrust))) {
    return { ...placeOf(settings), make: () => current, update: () => true, undo() {} };
  }
  const way = tryWay(deps, settings, serverTrust);
  return {
    ...placeOf(settings),
    make: () => new OutboundPort(deps, way),
    update: (handler) => handler instanceof OutboundPort && (handler.update(way), true),
    undo: () => void retireWay(way, 0),
  };
}

function nextEndpoint(way: Way): Next {
  return { upstream: way.upstream, key: way.key, retire: (withinMs) => retireWay(way, withinMs) };
}

function tryWay<Settings extends OutboundSettings>(deps: PortDeps, settings: Settings, serverTrust: Trust): Way<Settings> {
  try {
    return makeWay(deps, settings, serverTrust);
  } catch (error) {
    throw new Problem('input-invalid', `Cannot use TLS policy of outbound ${settings.endpointName}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function placeOf({ listen, drainMs }: { readonly listen: Address; readonly drainMs: number }) {
  return { key: formatAddress(listen), address: listen, drainMs };
}
