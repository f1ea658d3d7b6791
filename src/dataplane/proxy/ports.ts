import { Problem } from '../../core/problems/problem.ts';
import { type Address, formatAddress } from '../tls/address.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import { type Listener, listen } from './listen.ts';
import { makeWay, OutboundPort, retireWay, type Way, wayKey } from './outbound-port.ts';
import type { InboundListener, OutboundListener, ProxyPorts } from '../tls/proxy-settings.ts';
import { ServicePort } from './service-port.ts';
import type { Trust } from '../tls/trust.ts';

type OpenPort = { readonly listener: Listener; handler: ServicePort | OutboundPort };

/** The listening sockets of the proxy and what stands behind each. A change closes nothing that stays. */
export class Ports {
  readonly #deps: PortDeps;
  /** Each is used once: closing a listener closes its descriptor. */
  readonly #inherited: Map<string, number>;
  readonly #open = new Map<string, OpenPort>();

  constructor(deps: PortDeps, inherited: ReadonlyMap<string, number>) {
    this.#deps = deps;
    this.#inherited = new Map(inherited);
  }

  /**
   * Puts all ports of the settings in force, or none: new sockets are bound and ways made first, then everything is switched in
   * one turn by `commit`, and then what is no longer named is retired. @throws state-conflict, input-invalid; nothing changed then
   */
  async apply(settings: ProxyPorts, serverTrust: Trust, commit: () => void): Promise<void> {
    const ways = this.#makeWays(settings.outbound, serverTrust);
    const bound = new Map<string, OpenPort>();
    try {
      for (const inbound of settings.inbound) {
        if (!this.#open.has(formatAddress(inbound.listen))) await this.#bind(bound, inbound.listen, new ServicePort(this.#deps, inbound));
      }
      for (const way of ways.values()) {
        const { listen: address } = way.settings;
        if (!this.#open.has(formatAddress(address))) await this.#bind(bound, address, new OutboundPort(this.#deps, way));
      }
    } catch (error) {
      for (const { listener } of bound.values()) listener.close();
      for (const way of ways.values()) void retireWay(way, 0);
      throw error;
    }
    commit();
    for (const inbound of settings.inbound) this.#switchInbound(formatAddress(inbound.listen), inbound);
    for (const [key, way] of ways) this.#switchOutbound(key, way);
    for (const [key, port] of bound) this.#open.set(key, port);
    this.#dropOthers(settings);
  }

  /** Makes the ways to endpoints anew where our certificate or the trust in servers has changed. */
  renewWays(serverTrust: Trust): void {
    for (const { handler } of this.#open.values()) {
      if (!(handler instanceof OutboundPort)) continue;
      const { settings } = handler;
      if (!handler.isOnWay(wayKey(this.#deps, settings, serverTrust))) handler.update(makeWay(this.#deps, settings, serverTrust));
    }
  }

  /** Where the port that the settings call by this address really listens; differs where they say port 0. */
  addressOf(address: Address): Address | null {
    return this.#open.get(formatAddress(address))?.listener.address ?? null;
  }

  async retireAll(withinMs: number): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    for (const { listener } of all) listener.close();
    await Promise.all(all.map(({ handler }) => handler.retire(withinMs)));
  }

  /** The ways that are not in force yet, by the address of their port. @throws input-invalid */
  #makeWays(outbound: readonly OutboundListener[], serverTrust: Trust): Map<string, Way> {
    const ways = new Map<string, Way>();
    for (const settings of outbound) {
      const key = formatAddress(settings.listen);
      const handler = this.#open.get(key)?.handler;
      if (handler instanceof OutboundPort && handler.isOnWay(wayKey(this.#deps, settings, serverTrust))) continue;
      try {
        ways.set(key, makeWay(this.#deps, settings, serverTrust));
      } catch (error) {
        throw new Problem('input-invalid', `Cannot use TLS policy of outbound ${settings.endpointName}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
    return ways;
  }

  async #bind(bound: Map<string, OpenPort>, address: Address, handler: ServicePort | OutboundPort): Promise<void> {
    const key = formatAddress(address);
    const open = { handler } as { listener: Listener; handler: ServicePort | OutboundPort };
    const fd = this.#inherited.get(key);
    open.listener = await listen({ address, fd, onConnection: (socket) => open.handler.accept(socket) });
    this.#inherited.delete(key);
    bound.set(key, open);
    this.#deps.log('info', 'port opened', { address: key, inherited: fd !== undefined });
  }

  #switchInbound(key: string, settings: InboundListener): void {
    const open = this.#open.get(key);
    if (open === undefined) return;
    if (open.handler instanceof ServicePort) {
      open.handler.update(settings);
      return;
    }
    void open.handler.retire(settings.drainMs);
    open.handler = new ServicePort(this.#deps, settings);
  }

  #switchOutbound(key: string, way: Way): void {
    const open = this.#open.get(key);
    if (open === undefined) return;
    if (open.handler instanceof OutboundPort) {
      open.handler.update(way);
      return;
    }
    void open.handler.retire(way.settings.drainMs);
    open.handler = new OutboundPort(this.#deps, way);
  }

  #dropOthers({ inbound, outbound }: ProxyPorts): void {
    const named = new Set([...inbound, ...outbound].map(({ listen: address }) => formatAddress(address)));
    for (const [key, { listener, handler }] of this.#open) {
      if (named.has(key)) continue;
      this.#open.delete(key);
      listener.close();
      void handler.retire(handler.settings.drainMs);
      this.#deps.log('info', 'port closed', { address: key });
    }
  }
}
