import { type Inbound, Termination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { makeServerNameTable, type ServerNameTable } from '../../core/tls/server-name-table.ts';
import { parseConnectionLimits } from './connection-limits.ts';
import { parseProxyProtocol, type ProxyProtocolSettings } from './proxy-protocol-settings.ts';
import { type Address, formatAddress, parseAddress } from './address.ts';

/** An endpoint whose TLS goes through untouched. */
export type PassthroughRoute = {
  readonly endpointId: string;
  readonly endpointName: string;
  readonly upstream: Address;
  /** A connection on which nothing moved for so long is closed. */
  readonly idleMs: number;
  readonly maximumConnections: number;
};

/** A port that several endpoints share, told apart by the server name of the ClientHello. */
export type PassthroughListener = {
  readonly listen: Address;
  /** At least one. */
  readonly routes: readonly PassthroughRoute[];
  readonly find: ServerNameTable<PassthroughRoute>;
  /** Where connections without a known name go; null: they are refused. */
  readonly unknown: PassthroughRoute | null;
  readonly proxyProtocol: ProxyProtocolSettings;
  readonly drainMs: number;
  readonly handshakesPerAddress: number;
};

/** True of a port whose TLS ends elsewhere. */
export function isCarried({ termination }: Inbound): boolean {
  return termination === Termination.PASSTHROUGH || termination === Termination.MUTUAL;
}

/** Puts together what listens at one address. @throws input-invalid, identity-malformed */
export function parsePassthrough(inbound: readonly Inbound[]): readonly PassthroughListener[] {
  if (inbound.length > MAXIMUM_ROUTES) throw invalid('settings', `${inbound.length} endpoints passed through`, `at most ${MAXIMUM_ROUTES}`);
  const listens = Map.groupBy(inbound, ({ listen, endpointName }) => formatAddress(addressOf(endpointName, listen)));
  return [...listens.values()].map(parseListener);
}

function parseListener(inbound: readonly Inbound[]): PassthroughListener {
  const parsed = inbound.map((one) => ({ wire: one, route: parseRoute(one) }));
  const names = parsed.flatMap(({ wire, route }) => wire.serverNames.map((name) => [name.toLowerCase(), route] as const));
  const twice = names.find(([name], index) => names.findIndex(([other]) => other === name) !== index);
  if (twice !== undefined) throw invalid(twice[1].endpointName, `server name ${twice[0]} twice at one address`, 'each name once');
  const unknown = parsed.filter(({ wire }) => wire.takesUnknown);
  if (unknown.length > 1) throw invalid(unknown[1]!.route.endpointName, 'a second taker of unknown names', 'at most one at an address');
  const [proxyProtocol, ...others] = inbound.map(parseProxyProtocol);
  if (others.some(({ key }) => key !== proxyProtocol!.key)) {
    throw invalid(inbound[0]!.endpointName, 'another use of the PROXY protocol at the same address', 'the same');
  }
  return {
    proxyProtocol: proxyProtocol!,
    listen: addressOf(inbound[0]!.endpointName, inbound[0]!.listen),
    routes: parsed.map(({ route }) => route),
    find: makeServerNameTable(names),
    unknown: unknown[0]?.route ?? null,
    handshakesPerAddress: Math.max(...inbound.map((one) => parseConnectionLimits(one).handshakesPerAddress)),
    drainMs: Math.max(...inbound.map(({ drainMs }) => drainMs || DEFAULT_DRAIN_MS)),
  };
}

function parseRoute({
  endpointId,
  endpointName,
  upstream,
  serverNames,
  takesUnknown,
  idleMs,
  maximumConnections,
  nextHop,
}: Inbound): PassthroughRoute {
  if (serverNames.length === 0 && !takesUnknown)
    throw invalid(endpointName, 'no server name', 'at least one, or the taking of unknown ones');
  if (serverNames.length > MAXIMUM_NAMES) throw invalid(endpointName, `${serverNames.length} server names`, `at most ${MAXIMUM_NAMES}`);
  if (nextHop !== undefined) throw invalid(endpointName, 'a next hop', 'an upstream');
  return {
    endpointId,
    endpointName,
    upstream: addressOf(endpointName, upstream),
    idleMs: idleMs === 0 ? DEFAULT_IDLE_MS : Math.min(idleMs, MAXIMUM_IDLE_MS),
    maximumConnections: maximumConnections || DEFAULT_CONNECTIONS,
  };
}

function addressOf(endpointName: string, wire: Inbound['listen']): Address {
  const address = parseAddress(wire);
  if (address === null)
    throw invalid(endpointName, 'an address is missing or malformed', 'an IP with a port, or the path of a Unix socket');
  return address;
}

function invalid(endpointName: string, found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use inbound ${JSON.stringify(endpointName)}: ${found}, expected ${expected}`);
}

const MAXIMUM_ROUTES = 2_000;
const MAXIMUM_NAMES = 100;
const DEFAULT_DRAIN_MS = 5_000;
/** Long-lived streams keep themselves alive more often than this. */
const DEFAULT_IDLE_MS = 3_600_000;
const MAXIMUM_IDLE_MS = 86_400_000;
/** Two sockets each: the usual limit of descriptors, 65,536, holds three such endpoints. */
const DEFAULT_CONNECTIONS = 10_000;
