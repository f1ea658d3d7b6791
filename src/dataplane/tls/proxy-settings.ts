import { createHash } from 'node:crypto';
import { parseSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import {
  type Inbound,
  Mode as WireMode,
  type Outbound,
  Protocol as WireProtocol,
  Origination as WireOrigination,
  type ProxySettings,
  type SocketAddress,
  Termination as WireTermination,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Mode } from '../../core/policy/mode.ts';
import { Problem } from '../../core/problems/problem.ts';
import { AnonymousExceptions } from './anonymous-exceptions.ts';
import { type Address, formatAddress, parseAddress } from './address.ts';
import { type ConnectionLimits, parseConnectionLimits } from './connection-limits.ts';
import { isCarried, parsePassthrough, type PassthroughListener } from './passthrough-settings.ts';
import { type HttpSettings, parseHttpSettings } from './http-settings.ts';
import { parseProxyProtocol, type ProxyProtocolSettings } from './proxy-protocol-settings.ts';
import { type NamedServer, namedServerDigests, parseNamedServer } from './named-server-settings.ts';
import { parseReplicaSettings, type ReplicaSettings } from './replica-settings.ts';
import { requirePlane } from './require-plane.ts';
import { parseTlsPolicy, type TlsPolicy } from './tls-policy.ts';

/** `grpc` is HTTP/2 from end to end. */
export type Protocol = 'http' | 'grpc' | 'tcp';

/** One endpoint on which calls for the service arrive, and who meets what there. */
export type InboundSettings = {
  readonly endpointId: string;
  readonly endpointName: string;
  readonly protocol: Protocol;
  readonly anonymousMode: Mode;
  readonly strangerMode: Mode;
  /** Allowed callers and the mode of each one's path. */
  readonly callers: ReadonlyMap<SpiffeId, Mode>;
  readonly tls: TlsPolicy;
  readonly drainMs: number;
  readonly probe: SpiffeId | null;
  /** Who may come without a certificate all the same; null: nobody. */
  readonly exceptions: AnonymousExceptions | null;
} & HttpSettings &
  ConnectionLimits;

/** The same for a proxy, which listens before the service. */
export type InboundListener = InboundSettings & {
  readonly listen: Address;
  readonly onward: Onward;
  readonly proxyProtocol: ProxyProtocolSettings;
};

/** Where calls go on: in the clear to the service behind, or over TLS to another endpoint, whose server is verified. */
export type Onward =
  | { readonly kind: 'service'; readonly upstream: Address }
  | { readonly kind: 'reencrypt'; readonly outbound: OutboundSettings };

/** How a data plane speaks to an endpoint for its service. */
export type Origination = { readonly kind: 'plaintext' } | { readonly kind: 'mtls'; readonly server: SpiffeId } | NamedServer;

export type OutboundSettings = {
  readonly endpointId: string;
  readonly endpointName: string;
  readonly upstreams: readonly Address[];
  readonly protocol: Protocol;
  readonly origination: Origination;
  readonly tls: TlsPolicy;
  readonly drainMs: number;
  readonly replicas: ReplicaSettings;
  /** Digest over all that decides how a connection to the endpoint is made. */
  readonly digest: string;
};

/** The same for a proxy, which listens for its service's calls. */
export type OutboundListener = OutboundSettings & { readonly listen: Address };

export type ParsedSettings<Inbound = InboundSettings, Outbound = OutboundSettings> = {
  readonly generation: bigint;
  readonly proxyId: string;
  readonly spiffeId: SpiffeId;
  readonly trustDomain: string;
  /** The other trust domains that are trusted as long as their bundles are here. */
  readonly federatedTrustDomains: ReadonlySet<string>;
  readonly inbound: readonly Inbound[];
  readonly outbound: readonly Outbound[];
  readonly telemetryIntervalMs: number;
};

/** What a proxy listens at, beside what every data plane knows. */
export type ProxyPorts = ParsedSettings<InboundListener, OutboundListener> & { readonly passthrough: readonly PassthroughListener[] };

/**
 * Settings as the proxy understands them. An unset or unknown mode, protocol or origination is refused: nothing is guessed.
 * @throws input-invalid, identity-malformed, der-malformed
 */
export function parseProxySettings(settings: ProxySettings): ProxyPorts {
  const ended = { ...settings, inbound: settings.inbound.filter((inbound) => !isCarried(inbound)) };
  const parsed = parseSettings(ended, {
    inbound: (inbound) => ({
      ...parseInbound(inbound),
      listen: addressOf(nameOf('inbound', inbound), inbound.listen),
      onward: parseOnward(inbound),
      proxyProtocol: parseProxyProtocol(inbound),
    }),
    outbound: (outbound) => ({ ...parseOutbound(outbound), listen: addressOf(nameOf('outbound', outbound), outbound.listen) }),
  });
  const passthrough = parsePassthrough(settings.inbound.filter(isCarried));
  const listens = [...parsed.inbound, ...parsed.outbound, ...passthrough].map(({ listen }) => formatAddress(listen));
  const twice = listens.find((listen, index) => listens.indexOf(listen) !== index);
  if (twice !== undefined) throw invalid('settings', `two ports listen at ${twice}`, 'each address once');
  return { ...parsed, passthrough };
}

/** The same for a service that is its own data plane: it finds endpoints by their names. @throws as above; input-invalid for a proxy's settings */
export function parseServiceSettings(settings: ProxySettings): ParsedSettings {
  requirePlane(settings, 'native');
  const parsed = parseSettings(settings, {
    inbound: (inbound) => parseInbound(withoutSockets('inbound', inbound)),
    outbound: (outbound) => parseOutbound(withoutSockets('outbound', outbound)),
  });
  for (const ports of [parsed.inbound, parsed.outbound]) {
    const names = ports.map(({ endpointName }) => endpointName);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw invalid('settings', `two ports of endpoint ${JSON.stringify(twice)}`, 'each endpoint once');
  }
  return parsed;
}

/** A service that took a sidecar's settings would serve without whatever stands behind that proxy. */
function withoutSockets<Port extends Inbound | Outbound>(side: string, port: Port): Port {
  if (port.listen !== undefined) throw invalid(nameOf(side, port), 'it has an address of a proxy', 'settings of role sdk');
  if ('termination' in port && port.termination > WireTermination.TERMINATE) {
    throw invalid(nameOf(side, port), `termination ${port.termination}`, 'TLS that ends in the service');
  }
  return port;
}

function parseSettings<InboundPort, OutboundPort>(
  settings: ProxySettings,
  parse: { readonly inbound: (inbound: Inbound) => InboundPort; readonly outbound: (outbound: Outbound) => OutboundPort },
): ParsedSettings<InboundPort, OutboundPort> {
  if (settings.inbound.length > MAXIMUM_PORTS || settings.outbound.length > MAXIMUM_PORTS) {
    throw invalid(
      'settings',
      `${settings.inbound.length} inbound and ${settings.outbound.length} outbound ports`,
      `at most ${MAXIMUM_PORTS}`,
    );
  }
  return {
    generation: settings.generation,
    proxyId: settings.proxyId,
    spiffeId: parseSpiffeId(settings.spiffeId),
    trustDomain: settings.trustDomain,
    federatedTrustDomains: parseFederated(settings),
    inbound: settings.inbound.map(parse.inbound),
    outbound: settings.outbound.map(parse.outbound),
    telemetryIntervalMs: Math.min(MAXIMUM_INTERVAL_MS, Math.max(MINIMUM_INTERVAL_MS, settings.telemetryIntervalMs || DEFAULT_INTERVAL_MS)),
  };
}

function parseFederated({ federatedTrustDomains, trustDomain }: ProxySettings): ReadonlySet<string> {
  if (federatedTrustDomains.length > MAXIMUM_FEDERATED || federatedTrustDomains.includes(trustDomain)) {
    throw invalid('settings', `${federatedTrustDomains.length} other trust domains`, `at most ${MAXIMUM_FEDERATED}, and not our own`);
  }
  return new Set(federatedTrustDomains.map(parseTrustDomain));
}

function nameOf(side: string, { endpointName }: { readonly endpointName: string }): string {
  return `${side} ${JSON.stringify(endpointName)}`;
}

function parseInbound(inbound: Inbound): InboundSettings {
  const what = nameOf('inbound', inbound);
  if (inbound.callers.length > MAXIMUM_CALLERS) throw invalid(what, `${inbound.callers.length} callers`, `at most ${MAXIMUM_CALLERS}`);
  const protocol = wordOf(what, 'protocol', protocols, inbound.protocol);
  if (protocol === 'tcp' && inbound.routes.length > 0) throw invalid(what, 'routes of an endpoint of tcp', 'http or grpc');
  return {
    endpointId: inbound.endpointId,
    endpointName: inbound.endpointName,
    protocol,
    anonymousMode: wordOf(what, 'anonymous mode', modes, inbound.anonymousMode),
    strangerMode: wordOf(what, 'stranger mode', modes, inbound.strangerMode),
    callers: new Map(inbound.callers.map(({ spiffeId, mode }) => [parseSpiffeId(spiffeId), wordOf(what, 'caller mode', modes, mode)])),
    tls: parseTlsPolicy(inbound.tls),
    drainMs: inbound.drainMs || DEFAULT_DRAIN_MS,
    probe: inbound.probeSpiffeId === '' ? null : parseSpiffeId(inbound.probeSpiffeId),
    exceptions: inbound.anonymousExceptions.length === 0 ? null : new AnonymousExceptions(inbound.anonymousExceptions, protocol),
    ...parseHttpSettings(inbound),
    ...parseConnectionLimits(inbound),
  };
}

/** TLS never ends at the proxy to go on in the clear where it was to be encrypted anew. */
function parseOnward(inbound: Inbound): Onward {
  const what = nameOf('inbound', inbound);
  switch (inbound.termination) {
    case WireTermination.UNSPECIFIED:
    case WireTermination.TERMINATE:
      if (inbound.nextHop !== undefined) throw invalid(what, 'a next hop', 'one only where it is encrypted anew');
      return { kind: 'service', upstream: addressOf(what, inbound.upstream) };
    case WireTermination.REENCRYPT: {
      const { nextHop } = inbound;
      if (nextHop === undefined || inbound.upstream !== undefined)
        throw invalid(what, 'no next hop, or an upstream too', 'a next hop alone');
      const outbound = parseOutbound(withoutSockets('next hop', nextHop));
      if (outbound.origination.kind === 'plaintext') throw invalid(what, 'a next hop in plaintext', 'mtls or tls');
      if (outbound.protocol !== wordOf(what, 'protocol', protocols, inbound.protocol))
        throw invalid(what, 'a next hop of another protocol', 'the same');
      return { kind: 'reencrypt', outbound };
    }
    default:
      throw invalid(what, `termination ${inbound.termination}`, 'a value that this version knows');
  }
}

function parseOutbound(outbound: Outbound): OutboundSettings {
  const what = nameOf('outbound', outbound);
  const upstreams = outbound.upstreams.map((upstream) => addressOf(what, upstream));
  if (upstreams.length === 0 || upstreams.length > MAXIMUM_UPSTREAMS) {
    throw invalid(what, `${upstreams.length} upstreams`, `1 to ${MAXIMUM_UPSTREAMS}`);
  }
  const tls = parseTlsPolicy(outbound.tls);
  const protocol = wordOf(what, 'protocol', protocols, outbound.protocol);
  const anchors = outbound.serverAnchors.map((der) => createHash('sha256').update(der).digest('hex'));
  const deciding = [
    outbound.endpointId,
    outbound.origination,
    outbound.serverSpiffeId,
    outbound.serverName,
    anchors,
    tls.digest,
    upstreams,
    protocol,
    ...(outbound.origination === WireOrigination.TLS ? namedServerDigests(outbound) : []),
  ];
  return {
    endpointId: outbound.endpointId,
    endpointName: outbound.endpointName,
    upstreams,
    protocol,
    origination: parseOrigination(what, outbound),
    tls,
    drainMs: outbound.drainMs || DEFAULT_DRAIN_MS,
    replicas: parseReplicaSettings(outbound, protocol),
    digest: createHash('sha256').update(JSON.stringify(deciding)).digest('hex'),
  };
}

function parseOrigination(what: string, outbound: Outbound): Origination {
  switch (outbound.origination) {
    case WireOrigination.PLAINTEXT:
      return { kind: 'plaintext' };
    case WireOrigination.MTLS:
      return { kind: 'mtls', server: parseSpiffeId(outbound.serverSpiffeId) };
    case WireOrigination.TLS:
      return parseNamedServer(outbound);
    default:
      throw invalid(what, `origination ${outbound.origination}`, 'plaintext, mtls or tls');
  }
}

function addressOf(what: string, address: SocketAddress | undefined): Address {
  const parsed = parseAddress(address);
  if (parsed === null) throw invalid(what, 'an address is missing or malformed', 'an IP with a port, or the path of a Unix socket');
  return parsed;
}

function wordOf<Word>(what: string, field: string, words: { readonly [wire: number]: Word }, value: number): Word {
  const word = words[value];
  if (word === undefined) throw invalid(what, `${field} ${value}`, 'a value that this version knows');
  return word;
}

function invalid(what: string, found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use ${what}: ${found}, expected ${expected}`);
}

const modes: { readonly [wire: number]: Mode } = {
  [WireMode.OBSERVE]: 'observe',
  [WireMode.PERMISSIVE]: 'permissive',
  [WireMode.ENFORCE]: 'enforce',
};
const protocols: { readonly [wire: number]: Protocol } = {
  [WireProtocol.HTTP]: 'http',
  [WireProtocol.GRPC]: 'grpc',
  [WireProtocol.TCP]: 'tcp',
};

/** One sidecar serves a handful, a large gateway hundreds; each holds a socket and some state. */
/** A certificate that chains to none of ours is tried with each of these once. */
const MAXIMUM_FEDERATED = 50;
const MAXIMUM_PORTS = 2_000;
const MAXIMUM_CALLERS = 20_000;
const MAXIMUM_UPSTREAMS = 256;
const DEFAULT_DRAIN_MS = 5_000;
const DEFAULT_INTERVAL_MS = 1_000;
const MINIMUM_INTERVAL_MS = 100;
const MAXIMUM_INTERVAL_MS = 60_000;
