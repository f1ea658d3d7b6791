import { create } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { type Outbound, Origination, type RevokedSet } from '../messages/generated/countersign/v1/settings_pb.ts';
import type { RouteSchema } from '../messages/generated/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../messages/generated/envoy/config/route/v3/route_pb.ts';
import { formatAccessLogName } from './access-log-name.ts';
import { endpointClusterName } from './cluster.ts';
import { type EnvoyResource, envoyResource } from './envoy-resource.ts';
import { type Init, milliseconds } from './pack.ts';
import { envoyProtocol } from './protocol-name.ts';
import { anyMatch, patternMatches } from './route-match.ts';

type Route = Init<typeof RouteSchema>;

/** Where a service's calls to an endpoint go; nowhere while the server's identity is suspended, on open connections too. */
export function outboundRoutes(outbound: Outbound, { suspendedSpiffeIds }: RevokedSet): EnvoyResource {
  const name = outboundName(outbound);
  const isSuspended = outbound.origination === Origination.MTLS && suspendedSpiffeIds.includes(outbound.serverSpiffeId);
  const routes = isSuspended ? [suspended()] : forwards(outbound);
  const message = create(RouteConfigurationSchema, {
    name,
    validateClusters: false,
    virtualHosts: [{ name: 'all', domains: ['*'], routes }],
  });
  return { ...envoyResource(RouteConfigurationSchema, name, message), ...(isSuspended ? {} : { needs: [endpointClusterName(outbound)] }) };
}

/** Of the listener's chain and of its routes: to its service an outbound port speaks in the clear. */
export function outboundName({ endpointId, protocol }: Outbound): string {
  return formatAccessLogName({ side: 'outbound', endpointId, channel: 'plaintext', protocol: envoyProtocol(protocol) });
}

function suspended(): Route {
  return { name: 'suspended', match: anyMatch(), action: { case: 'directResponse', value: { status: 503 } } };
}

function forwards(outbound: Outbound): Route[] {
  const isHttp = envoyProtocol(outbound.protocol) === 'http';
  const way = {
    clusterSpecifier: { case: 'cluster' as const, value: endpointClusterName(outbound) },
    timeout: milliseconds(isHttp ? LONGEST_CALL_MS : 0),
  };
  const to = (name: string, match: Route['match'], retryOn: string): Route => ({
    name,
    match: match!,
    action: {
      case: 'route',
      value: {
        ...way,
        ...(outbound.retries === undefined ? {} : { retryPolicy: { retryOn, numRetries: MAXIMUM_RETRIES, ...elsewhere() } }),
      },
    },
  });
  // What was not seen by a server is sent again whatever it is; what a server may have begun, if it may be done twice for once.
  const idempotent = patternMatches({ methods: IDEMPOTENT, host: '', path: '/**' }, 'exact');
  return [...idempotent.map((match) => to('idempotent', match, `${UNSEEN},reset`)), to('any', anyMatch(), UNSEEN)];
}

function elsewhere() {
  return {
    retryHostPredicate: [
      { name: 'envoy.retry_host_predicates.previous_hosts', configType: { case: 'typedConfig' as const, value: NOT_AGAIN } },
    ],
    hostSelectionRetryMaxAttempts: 3n,
  };
}

/** An empty message, of a type of which nothing else is said. */
const NOT_AGAIN = create(AnySchema, {
  typeUrl: 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
});
const UNSEEN = 'connect-failure,refused-stream,reset-before-request';
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'];
const MAXIMUM_RETRIES = 2;
const LONGEST_CALL_MS = 600_000;
