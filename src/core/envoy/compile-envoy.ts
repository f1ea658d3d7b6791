import { type Inbound, Origination, type Outbound, Termination } from '../messages/generated/countersign/v1/settings_pb.ts';
import { envoyProtocol } from './protocol-name.ts';
import { type CallerRules, callerRules } from './caller-rules.ts';
import { type ClusterPair, endpointCluster, serviceCluster } from './cluster.ts';
import type { EnvoyInput } from './compile-input.ts';
import type { EnvoyResource } from './envoy-resource.ts';
import { channelsOf, inboundListener } from './inbound-listener.ts';
import { inboundRoutes, probeRouteConfiguration } from './inbound-routes.ts';
import { outboundListener } from './outbound-listener.ts';
import { outboundRoutes } from './outbound-routes.ts';
import { isCarried, passthroughListeners } from './passthrough-listener.ts';
import { sharedPart } from './shared-part.ts';
import { inboundTrustSecret, namedServerSecret, probeTrustSecret, serverTrustSecret } from './trust-secret.ts';

/** What one Envoy runs, by type; secrets with private keys are the companion's. */
export type EnvoyResources = {
  readonly clusters: readonly EnvoyResource[];
  readonly endpoints: readonly EnvoyResource[];
  readonly secrets: readonly EnvoyResource[];
  readonly listeners: readonly EnvoyResource[];
  readonly routes: readonly EnvoyResource[];
};

/**
 * Settings as resources of Envoy. The same input gives the same octets. What changes with revocation or suspension is in routes and
 * validation contexts, and where a caller or a server of this very way falls, in a mark that ends the connections that stand.
 */
export function compileEnvoy(input: EnvoyInput): EnvoyResources {
  const { inbound, outbound } = input.settings;
  const carried = inbound.filter(isCarried);
  const parts = [
    ...inbound.filter((one) => !isCarried(one)).map((one) => compileInbound(input, one)),
    ...outbound.map((one) => compileOutbound(input, one, outboundListener(one))),
  ];
  const pairs = [...parts.flatMap(({ clusters }) => clusters), ...carried.map(serviceCluster)];
  return {
    clusters: byName(pairs.map(({ cluster }) => cluster)),
    endpoints: byName(pairs.map(({ endpoints }) => endpoints)),
    secrets: byName(parts.flatMap(({ secrets }) => secrets)),
    listeners: byName([...parts.flatMap(({ listeners }) => listeners), ...passthroughListeners(carried)]),
    routes: byName(parts.flatMap(({ routes }) => routes)),
  };
}

type Part = {
  readonly clusters: readonly ClusterPair[];
  readonly secrets: readonly EnvoyResource[];
  readonly listeners: readonly EnvoyResource[];
  readonly routes: readonly EnvoyResource[];
};

function compileInbound(input: EnvoyInput, inbound: Inbound): Part {
  const rules = callerRules(inbound, input.revoked);
  return {
    ...sharedPart('part', input, inbound, () => compileBehind(input, inbound, rules)),
    listeners: present(inboundListener(input, inbound, rules)),
  };
}

/** All of an endpoint's port but where it listens. */
function compileBehind(input: EnvoyInput, inbound: Inbound, rules: CallerRules): Omit<Part, 'listeners'> {
  const { revoked } = input;
  const hop =
    inbound.termination === Termination.REENCRYPT && inbound.nextHop !== undefined ? compileOutbound(input, inbound.nextHop, null) : null;
  const isTcp = envoyProtocol(inbound.protocol) === 'tcp';
  const probing = isTcp && rules.probe !== null ? [rules.probe] : [];
  return {
    clusters: hop === null ? [serviceCluster(inbound)] : hop.clusters,
    secrets: [
      inboundTrustSecret(input, inbound, rules),
      ...probing.map((probe) => probeTrustSecret(input, inbound.endpointId, probe)),
      ...(hop?.secrets ?? []),
    ],
    routes: isTcp
      ? probing.map((probe) => probeRouteConfiguration(inbound, probe))
      : channelsOf(rules).map((channel) => inboundRoutes(inbound, { rules, channel, revoked })),
  };
}

function compileOutbound(input: EnvoyInput, outbound: Outbound, listener: EnvoyResource | null): Part {
  const hasRoutes = listener !== null && envoyProtocol(outbound.protocol) !== 'tcp';
  return {
    clusters: [endpointCluster(input, outbound)],
    secrets: trustOf(input, outbound),
    listeners: present(listener),
    routes: hasRoutes ? [outboundRoutes(outbound, input.revoked)] : [],
  };
}

function trustOf(input: EnvoyInput, outbound: Outbound): readonly EnvoyResource[] {
  if (outbound.origination === Origination.MTLS) return [serverTrustSecret(input, outbound)];
  return outbound.origination === Origination.TLS ? [namedServerSecret(outbound)] : [];
}

function present(resource: EnvoyResource | null): readonly EnvoyResource[] {
  return resource === null ? [] : [resource];
}

/** A next hop and an outbound port may be the same way to one endpoint. */
function byName(resources: readonly EnvoyResource[]): readonly EnvoyResource[] {
  const named = new Map(resources.map((resource) => [resource.name, resource]));
  return [...named.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
