import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { type AcmeCloud, unixSocketOf } from './acme-cloud.ts';
import { callersOf, callsOf, processorName, robbedService, type ServiceName, services, undeclaredCaller } from './fleet.ts';
import { publicPortsOf, type Replica } from './replica.ts';

/** Until when the agreed gaps last, and who answers for them. */
export const exceptionsUntil = '2027-12-31';

/** The one rollout of the demo. */
export const rolloutName = 'all';
export const scannerName = 'scanner-1';

type Document = { readonly kind: string; readonly name: string; readonly [field: string]: unknown };

/** What the operator has found out by reading the plan. */
export type DeclarationOptions = {
  /** Whether the undeclared caller is allowed. */
  readonly admitsUndeclared: boolean;
  /** Endpoints at which somebody shows the robbed service's certificate, which has no business there. */
  readonly unwantedAt: readonly ServiceName[];
};

/**
 * What the operator writes down for Acme Cloud, as YAML: services, endpoints, proxies, exceptions, policy and target.
 * The undeclared caller has a sidecar like everybody, but no endpoint names it until somebody admits it.
 */
export function declareFleet(cloud: AcmeCloud, options: DeclarationOptions): string {
  const documents: readonly Document[] = [
    { kind: 'Policy', name: 'acme', drainMs: DRAIN_MS, telemetryIntervalMs: 500, certificates: { renewalSmearMs: 1_000 } },
    ...services.map(({ name, owner }) => ({ kind: 'Service', name, owner })),
    ...services
      .filter(({ isEndpoint }) => isEndpoint)
      .map(({ name, owner }) => declareEndpoint(cloud, name, owner, options.admitsUndeclared)),
    ...cloud.layout.replicas.filter(({ service }) => service.proxy !== 'none').map((replica) => declareProxy(cloud, replica)),
    { kind: 'Proxy', name: scannerName, role: 'scanner' },
    ...exceptions,
    {
      kind: 'Target',
      name: rolloutName,
      endpoints: 'all',
      mode: 'enforce',
      ...conditions,
      unwanted: options.unwantedAt.map(declareUnwanted),
    },
  ];
  return documents.map((document) => stringify({ apiVersion: 'countersign/v1', ...document })).join('---\n');
}

function declareEndpoint(cloud: AcmeCloud, name: ServiceName, owner: string, admitsUndeclared: boolean): Document {
  const isExternal = name === 'processor';
  return {
    kind: 'Endpoint',
    name,
    service: name,
    protocol: 'http',
    addresses: publicPortsOf(cloud.layout, name).map((port) => `127.0.0.1:${port}`),
    exposure: exposures[name] ?? 'internal',
    dataClasses: dataClasses[name] ?? [],
    owner,
    policy: 'acme',
    allowedCallers: callersOf(name).filter((caller) => admitsUndeclared || caller !== undeclaredCaller),
    ...(isExternal ? { external: { serverName: processorName, anchorsPem: readFileSync(cloud.files.processorCa, 'utf8') } } : {}),
  };
}

function declareProxy(cloud: AcmeCloud, replica: Replica): Document {
  const { name, service, inbound, egress, behindBridgePort, kind, envoyPort } = replica;
  const upstream = behindBridgePort === null ? `unix:${unixSocketOf(cloud, replica)}` : `127.0.0.1:${behindBridgePort}`;
  return {
    kind: 'Proxy',
    name,
    service: service.name,
    role: service.proxy,
    ...(kind === 'envoy' ? { plane: 'envoy' } : {}),
    inbound: inbound === null ? [] : [{ endpoint: service.name, upstream, ...listenOf(inbound.port, envoyPort) }],
    outbound: callsOf(service.name).map(({ endpoint }) => ({ endpoint, listen: `127.0.0.1:${egress.get(endpoint)!.port}` })),
  };
}

/** The tap goes to an Envoy as balancers do: it says for whom it connects. */
function listenOf(port: number, envoyPort: number | null) {
  return envoyPort === null ? { listen: `127.0.0.1:${port}` } : { listen: `127.0.0.1:${envoyPort}`, proxyProtocolFrom: ['0.0.0.0/0'] };
}

function declareUnwanted(endpoint: ServiceName): { readonly [field: string]: string } {
  return {
    endpoint,
    caller: robbedService,
    reason: `${robbedService} has no business with ${endpoint}; who shows its certificate there is refused`,
  };
}

const exposures: { readonly [name in ServiceName]?: string } = {
  storefront: 'partner',
  orders: 'partner',
  legacy: 'legacy',
  processor: 'public',
};
const dataClasses: { readonly [name in ServiceName]?: readonly string[] } = { customers: ['pii'], payments: ['cardholder'] };

const exceptions: readonly Document[] = [
  {
    kind: 'Exception',
    name: 'legacy-hop',
    exception: 'legacy-plaintext-hop',
    endpoint: 'legacy',
    owner: 'logistics',
    reason: 'the legacy service speaks plaintext only; the bridge stands on its machine',
    until: exceptionsUntil,
  },
  {
    kind: 'Exception',
    name: 'payment-processor',
    exception: 'third-party',
    path: { caller: 'payments', endpoint: 'processor' },
    owner: 'finance',
    reason: 'the processor is not ours; one-way TLS under its own CA, with its name checked',
    until: exceptionsUntil,
  },
];

/** A fleet in production soaks for a day; a demo has a minute and a half, and calls every path sixteen times a second. */
const conditions = {
  soakMs: 3_000,
  settleMs: 1_000,
  lagMs: 1_000,
  minCalls: 10,
  minFailures: 3,
  maxFailureRate: 0.05,
  silentMs: 8_000,
  drainMs: 3_000,
  unattributed: 'refuse',
};

/** How long old connections may live after a change. */
export const DRAIN_MS = 1_500;
