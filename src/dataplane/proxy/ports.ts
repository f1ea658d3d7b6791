import { type Address, formatAddress } from '../tls/address.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { ProxyPorts } from '../tls/proxy-settings.ts';
import type { Trust } from '../tls/trust.ts';
import { type Listener, listen } from './listen.ts';
import type { PassthroughPort } from './passthrough-port.ts';
import { makeWay, OutboundPort, wayKey } from './outbound-port.ts';
import { nextOf, type PortHandler, type PortPlan, planPorts } from './plan-ports.ts';
import { ServicePort } from './service-port.ts';

export type PortSharing = {
  /** Sockets that this process was given, by address. Each is used once: closing a listener closes its descriptor. */
  readonly inherited: ReadonlyMap<string, number>;
  /** Other processes of the same proxy listen at the same addresses. */
  readonly isShared: boolean;
};

type OpenPort = { readonly listener: Listener; handler: PortHandler };

/** The listening sockets of the proxy and what stands behind each. A change closes nothing that stays. */
export class Ports {
  readonly #deps: PortDeps;
  readonly #inherited: Map<string, number>;
  readonly #isShared: boolean;
  readonly #open = new Map<string, OpenPort>();

  constructor(deps: PortDeps, { inherited, isShared }: PortSharing) {
    this.#deps = deps;
    this.#inherited = new Map(inherited);
    this.#isShared = isShared;
  }

  /**
   * Puts all ports of the settings in force, or none: ways are made and new sockets bound first, then everything is switched in
   * one turn by `commit`, and then what is no longer named is retired. @throws state-conflict, input-invalid; nothing changed then
   */
  async apply(settings: ProxyPorts, serverTrust: Trust, commit: () => void): Promise<void> {
    const plans = planPorts(this.#deps, { settings, serverTrust, handlerAt: (key) => this.#open.get(key)?.handler ?? null });
    const bound = new Map<string, OpenPort>();
    try {
      for (const plan of plans) if (!this.#open.has(plan.key)) await this.#bind(bound, plan);
    } catch (error) {
      for (const { listener } of bound.values()) listener.close();
      for (const plan of plans) plan.undo();
      throw error;
    }
    commit();
    for (const plan of plans) this.#switch(plan);
    for (const [key, port] of bound) this.#open.set(key, port);
    this.#dropOthers(new Set(plans.map(({ key }) => key)));
  }

  /** Makes the ways to endpoints anew where our certificate or the trust in servers has changed. */
  renewWays(serverTrust: Trust): void {
    for (const { handler } of this.#open.values()) {
      if (handler instanceof OutboundPort) {
        const { settings } = handler;
        if (!handler.isOnWay(wayKey(this.#deps, settings, serverTrust))) handler.update(makeWay(this.#deps, settings, serverTrust));
      } else if (handler instanceof ServicePort) handler.goOnTo(nextOf(this.#deps, handler.settings, { serverTrust, held: handler.next }));
      else handler satisfies PassthroughPort;
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

  async #bind(bound: Map<string, OpenPort>, { key, address, make }: PortPlan): Promise<void> {
    const open = { handler: make() } as { listener: Listener; handler: PortHandler };
    const fd = this.#inherited.get(key);
    open.listener = await listen({ address, fd, isShared: this.#isShared, onConnection: (socket) => open.handler.accept(socket) });
    this.#inherited.delete(key);
    bound.set(key, open);
    this.#deps.log('info', 'port opened', { address: key, inherited: fd !== undefined });
  }

  #switch({ key, make, update, drainMs }: PortPlan): void {
    const open = this.#open.get(key);
    if (open === undefined || update(open.handler)) return;
    void open.handler.retire(drainMs);
    open.handler = make();
  }

  #dropOthers(named: ReadonlySet<string>): void {
    for (const [key, { listener, handler }] of this.#open) {
      if (named.has(key)) continue;
      this.#open.delete(key);
      listener.close();
      void handler.retire(handler.settings.drainMs);
      this.#deps.log('info', 'port closed', { address: key });
    }
  }
}
