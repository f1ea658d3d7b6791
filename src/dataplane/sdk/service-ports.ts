import { Problem } from '../../core/problems/problem.ts';
import { InboundGate } from '../tls/inbound-gate.ts';
import type { PlanePorts } from '../tls/plane-options.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { InboundSettings, OutboundSettings, ParsedSettings, Protocol } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import type { Trust } from '../tls/trust.ts';
import { EndpointWay, makeRoute, type Route } from './endpoint-way.ts';
import { ServedEndpoint } from './served-endpoint.ts';

/** The endpoints that a service serves in its own process, and its ways to those that it calls, by their names. */
export class ServicePorts implements PlanePorts<ParsedSettings> {
  readonly #deps: PortDeps;
  readonly #served = new Set<ServedEndpoint>();
  readonly #ways = new Map<string, EndpointWay>();
  #inbound: ReadonlyMap<string, InboundSettings> = new Map();

  constructor(deps: PortDeps) {
    this.#deps = deps;
  }

  get deps(): PortDeps {
    return this.#deps;
  }

  async apply({ inbound, outbound }: ParsedSettings, serverTrust: Trust, commit: () => void): Promise<void> {
    const routes = outbound.map((settings) => this.#makeRoute(settings, serverTrust));
    commit();
    this.#inbound = new Map(inbound.map((settings) => [settings.endpointName, settings]));
    for (const served of this.#served) served.update(this.#inbound.get(served.name) ?? null);
    for (const route of routes) this.#switch(route);
    const named = new Set(outbound.map(({ endpointName }) => endpointName));
    for (const [name, way] of this.#ways) {
      if (named.has(name)) continue;
      this.#ways.delete(name);
      void way.retire(way.settings.drainMs);
    }
  }

  renewWays(serverTrust: Trust): void {
    for (const way of this.#ways.values()) way.update(this.#makeRoute(way.settings, serverTrust));
  }

  async retireAll(withinMs: number): Promise<void> {
    const served = [...this.#served].map((endpoint) => endpoint.retire(withinMs));
    await Promise.all([...served, ...[...this.#ways.values()].map((way) => way.retire(withinMs))]);
  }

  /** Begins to serve an endpoint with whatever takes its admitted connections. @throws not-found, state-conflict for another protocol */
  serve(name: string, protocols: readonly Protocol[], onAdmitted: (connection: ReceiverConnection) => void): ServedEndpoint {
    const settings = this.#inbound.get(name);
    if (settings === undefined) throw unknown('serve', name, this.#inbound.keys());
    if (!protocols.includes(settings.protocol)) {
      throw new Problem('state-conflict', `Cannot serve ${name}: its protocol is ${settings.protocol}, expected ${protocols.join(' or ')}`);
    }
    const gate = (now: InboundSettings): InboundGate => new InboundGate(this.#deps, now, onAdmitted);
    const served = new ServedEndpoint({ name, settings, makeGate: gate, onEnd: () => this.#served.delete(served) });
    this.#served.add(served);
    return served;
  }

  /** @throws not-found */
  wayTo(name: string): EndpointWay {
    const way = this.#ways.get(name);
    if (way === undefined) throw unknown('call', name, this.#ways.keys());
    return way;
  }

  /** True while a server of this process takes the endpoint's connections. */
  serves(endpointId: string): boolean {
    return [...this.#served].some((served) => served.isListening && served.settings?.endpointId === endpointId);
  }

  #switch(route: Route): void {
    const { endpointName } = route.settings;
    const way = this.#ways.get(endpointName);
    if (way === undefined) this.#ways.set(endpointName, new EndpointWay(this.#deps, route));
    else way.update(route);
  }

  #makeRoute(settings: OutboundSettings, trust: Trust): Route {
    try {
      return makeRoute(this.#deps, settings, trust);
    } catch (error) {
      throw new Problem('input-invalid', `Cannot use TLS policy of outbound ${settings.endpointName}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

function unknown(what: string, name: string, known: Iterable<string>): Problem {
  const names = [...known].join(', ');
  return new Problem(
    'not-found',
    `Cannot ${what} ${name}: no such endpoint in the settings, expected ${names === '' ? 'one to be declared' : `one of ${names}`}`,
  );
}
