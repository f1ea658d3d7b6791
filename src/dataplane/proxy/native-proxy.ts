import type { ProxySettings } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Address } from '../tls/address.ts';
import { type ServedAlpn, servedAlpn } from '../tls/alpn.ts';
import type { PlaneOptions } from '../tls/plane-options.ts';
import { Plane } from '../tls/plane.ts';
import { defaultLimits, type PortDeps, type ProxyLimits } from '../tls/port-deps.ts';
import { parseProxySettings, type ProxyPorts } from '../tls/proxy-settings.ts';
import { requirePlane } from '../tls/require-plane.ts';
import { Ports } from './ports.ts';

export type ProxyOptions = Omit<PlaneOptions<ProxyPorts>, 'limits' | 'parse' | 'makePorts'> & {
  /** Sockets that this process was given, by the address that they are bound to. */
  readonly inherited?: ReadonlyMap<string, number>;
  readonly limits?: ProxyLimits;
  /** One of several processes that share their ports; the one that takes Unix sockets has all of them. */
  readonly shared?: { readonly takesUnixPorts: boolean } | null;
};

/** Callers may speak HTTP/2 to a service of HTTP/1.1: the proxy translates. */
const PROXY_ALPN: ServedAlpn = { ...servedAlpn, http: ['h2', 'http/1.1'] };

/** A gateway, sidecar or bridge of ours: a plane whose ports are listening sockets in front of a service. */
export class NativeProxy extends Plane<ProxyPorts> {
  readonly #ports: Ports;

  /** @throws der-malformed, input-invalid if the identity has no certificate or no root */
  constructor({ inherited = new Map(), limits = defaultLimits, shared = null, ...options }: ProxyOptions) {
    let ports!: Ports;
    const parse = (wire: ProxySettings): ProxyPorts => {
      requirePlane(wire, 'native');
      return shared === null ? parseProxySettings(wire) : parseShared(wire, shared);
    };
    const makePorts = (deps: PortDeps): Ports => (ports = new Ports(deps, { inherited, isShared: shared !== null }));
    super({ ...options, limits, alpn: PROXY_ALPN, parse, makePorts });
    this.#ports = ports;
  }

  /** Where a port of the settings really listens, or null. */
  addressOf(address: Address): Address | null {
    return this.#ports.addressOf(address);
  }
}

/** The settings of one process of several. */
function parseShared(wire: ProxySettings, { takesUnixPorts }: { readonly takesUnixPorts: boolean }): ProxyPorts {
  const settings = parseProxySettings(wire);
  for (const { rates } of settings.inbound) rates?.share();
  if (takesUnixPorts) return settings;
  const { inbound, outbound, passthrough } = settings;
  return {
    ...settings,
    inbound: inbound.filter(isOnInternet),
    outbound: outbound.filter(isOnInternet),
    passthrough: passthrough.filter(isOnInternet),
  };
}

function isOnInternet({ listen }: { readonly listen: Address }): boolean {
  return listen.kind === 'internet';
}
