import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { PROBE_PATH } from '../findings/drill-kind.ts';
import { identityFields } from '../http1/identity-field.ts';
import { type Inbound, type RevokedSet, Termination } from '../messages/generated/countersign/v1/settings_pb.ts';
import { HeaderValueOption_HeaderAppendAction, type HeaderValueOptionSchema } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import {
  type RouteMatchSchema,
  type RouteSchema,
  type VirtualHostSchema,
} from '../messages/generated/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../messages/generated/envoy/config/route/v3/route_pb.ts';
import { HSTS_FIELD } from '../policy/http-policy.ts';
import { formatAccessLogName } from './access-log-name.ts';
import {
  ADMISSION_FILTER,
  admissionRules,
  HOST_FILTER,
  hostRules,
  nobodyRules,
  REVOKED_FILTER,
  ROUTE_FILTER,
  routeRules,
} from './admission.ts';
import type { CallerRules } from './caller-rules.ts';
import { endpointClusterName, serviceClusterName } from './cluster.ts';
import { type EnvoyResource, envoyResource } from './envoy-resource.ts';
import { type Init, milliseconds } from './pack.ts';
import { envoyProtocol } from './protocol-name.ts';
import { FRESH_FIELD, peerFields } from './peer-fields.ts';
import { standingRules, unlessRevoked } from './standing-rules.ts';
import { ambiguousMatches, anyMatch, patternMatches } from './route-match.ts';

export type InboundChannel = 'plaintext' | 'tls' | 'mtls';

type Route = Init<typeof RouteSchema>;
type RouteMatch = Init<typeof RouteMatchSchema>;
type Made = { readonly rules: CallerRules; readonly channel: InboundChannel; readonly revoked: RevokedSet };

/**
 * What calls of one channel meet. Each channel has routes of its own: a promise of TLS has no place in the clear (RFC 6797 section 7.2), and
 * who proved nothing is told to the service by nobody.
 */
export function inboundRoutes(inbound: Inbound, made: Made): EnvoyResource {
  const { channel } = made;
  const name = formatAccessLogName({ side: 'inbound', endpointId: inbound.endpointId, channel, protocol: envoyProtocol(inbound.protocol) });
  const message = create(RouteConfigurationSchema, {
    name,
    validateClusters: false,
    requestHeadersToRemove: [...LIES, ...peerFields.keys()],
    ...answersOf(inbound, channel),
    typedPerFilterConfig: filtersOf(inbound, made),
    virtualHosts: [{ name: 'all', domains: ['*'], ...hostOf(inbound, made) }],
  });
  return envoyResource(RouteConfigurationSchema, name, message);
}

/** Of the chain on which a port of raw TCP answers the prober, and nobody else. */
export function probeRouteConfiguration({ endpointId }: Inbound, probe: string): EnvoyResource {
  const name = probeChainName(endpointId);
  const message = create(RouteConfigurationSchema, {
    name,
    virtualHosts: [{ name: 'all', domains: ['*'], routes: [...probeRoutes(probe)] }],
  });
  return envoyResource(RouteConfigurationSchema, name, message);
}

export function probeChainName(endpointId: string): string {
  return formatAccessLogName({ side: 'inbound', endpointId, channel: 'mtls', protocol: 'http' });
}

/** On an open connection Envoy goes on taking a certificate for good that was revoked meanwhile. */
function hostOf(inbound: Inbound, made: Made): Init<typeof VirtualHostSchema> {
  const routes = [...routesOf(inbound, made)];
  const matcher = made.channel === 'tls' ? unlessRevoked(made.revoked, { revoked: unproved(inbound), routes }) : null;
  return matcher === null ? { routes } : { matcher };
}

function filtersOf({ hostMatchesSni }: Inbound, { channel, revoked }: Made): { [name: string]: Any } {
  // Behind an open door nobody is refused for a certificate that proves nothing any more.
  if (channel !== 'mtls') return {};
  return { ...(hostMatchesSni ? { [HOST_FILTER]: hostRules() } : {}), [REVOKED_FILTER]: standingRules(revoked) };
}

function routesOf(inbound: Inbound, { rules, channel }: Made): readonly Route[] {
  if (channel === 'plaintext') return [unproved(inbound)];
  const proved = [
    ambiguousIdentity(inbound, rules),
    ...(rules.probe === null ? [] : probeRoutes(rules.probe)),
    ...declaredRoutes(inbound, rules),
  ];
  if (channel === 'mtls') return proved;
  const whoCounts = proved.map((route) => ({
    ...route,
    match: whereProved(route.match as RouteMatch),
  }));
  return [...suspendedRoutes(inbound, rules), ...whoCounts, unproved(inbound)];
}

/** Envoy goes on taking a certificate for good that came to its end while its connection was open. */
function whereProved(match: RouteMatch): RouteMatch {
  const isFresh = {
    name: FRESH_FIELD,
    headerMatchSpecifier: { case: 'stringMatch' as const, value: { matchPattern: { case: 'exact' as const, value: 'true' } } },
  };
  return { ...match, headers: [...(match.headers ?? []), isFresh], tlsContext: { presented: true, validated: true } };
}

/** Envoy answers the prober itself, and forwards nothing of it. */
function probeRoutes(probe: string): readonly Route[] {
  const isProbe = identityHeader(probe);
  return [
    {
      name: 'probe',
      match: { pathSpecifier: { case: 'path', value: PROBE_PATH }, headers: [isProbe] },
      action: { case: 'directResponse', value: { status: 200, body: { specifier: { case: 'inlineString', value: '{}' } } } },
      responseHeadersToAdd: [overwrite('content-type', 'application/json')],
    },
    { name: 'probe-elsewhere', match: { ...anyMatch(), headers: [isProbe] }, action: { case: 'directResponse', value: { status: 404 } } },
  ];
}

/** The first declared route that a call has decides who may make it; without one nobody enforced may. */
function declaredRoutes(inbound: Inbound, rules: CallerRules): readonly Route[] {
  const admission = { [ADMISSION_FILTER]: admissionRules(rules) };
  if (inbound.routes.length === 0) return [forward(inbound, 'any', anyMatch(), admission)];
  const refused = { ...admission, [ROUTE_FILTER]: routeRules([], rules) };
  return [
    ...ambiguousMatches().map((match) => forward(inbound, 'ambiguous', match, refused)),
    ...inbound.routes.flatMap((route, index) => {
      const allowed = [...route.callerSpiffeIds, ...route.callerSans];
      const filters = { ...admission, [ROUTE_FILTER]: routeRules(allowed, rules) };
      return [
        ...patternMatches(route, 'exact').map((match) => forward(inbound, `route-${index}`, match, filters)),
        ...patternMatches(route, 'any-case').map((match) => forward(inbound, `route-${index}-case`, match, refused)),
      ];
    }),
    forward(inbound, 'no-route', anyMatch(), refused),
  ];
}

function suspendedRoutes(inbound: Inbound, { unprovedSuspended, suspendedStrangers }: CallerRules): readonly Route[] {
  return [...unprovedSuspended, ...suspendedStrangers].map((caller) => ({
    ...unproved(inbound),
    match: { ...anyMatch(), headers: [identityHeader(caller)] },
  }));
}

/**
 * Who has another name than one SPIFFE ID (X509-SVID section 2) is nobody. Envoy asks an authority for the first name of a certificate alone,
 * holds rules against each of them, and writes names into the field as they stand, with whatever marks.
 */
function ambiguousIdentity(inbound: Inbound, rules: CallerRules): Route {
  const value = { matchPattern: { case: 'safeRegex' as const, value: { regex: ONE_IDENTITY } } };
  const headers = [{ name: IDENTITY_FIELD, headerMatchSpecifier: { case: 'stringMatch' as const, value }, invertMatch: true }];
  const match = { ...anyMatch(), headers };
  if (rules.door === 'open') return { ...unproved(inbound), match };
  return forward(inbound, 'ambiguous-identity', match, { [ADMISSION_FILTER]: nobodyRules() });
}

/** Nothing is said of who calls. */
function unproved(inbound: Inbound): Route {
  return { ...forward(inbound, 'unproved', anyMatch(), {}), requestHeadersToRemove: [IDENTITY_FIELD] };
}

function forward(inbound: Inbound, name: string, match: RouteMatch, typedPerFilterConfig: { [name: string]: Any }): Route {
  const { nextHop, termination, omittedIdentityFields } = inbound;
  const cluster =
    termination === Termination.REENCRYPT && nextHop !== undefined ? endpointClusterName(nextHop) : serviceClusterName(inbound);
  const isHttp = envoyProtocol(inbound.protocol) === 'http';
  return {
    name,
    match,
    typedPerFilterConfig,
    requestHeadersToRemove: omittedIdentityFields.includes(IDENTITY_FIELD) ? [IDENTITY_FIELD] : [],
    action: {
      case: 'route',
      value: {
        clusterSpecifier: { case: 'cluster', value: cluster },
        timeout: milliseconds(isHttp ? LONGEST_CALL_MS : 0),
        // What restarts refuses connections for a moment; nothing was sent yet.
        retryPolicy: { retryOn: 'connect-failure,refused-stream', numRetries: 3 },
      },
    },
  };
}

/** Envoy writes the field itself, from the certificate of the connection, with the identity at its end. */
function identityHeader(caller: string) {
  const value = { matchPattern: { case: 'suffix' as const, value: `;URI=${caller}` } };
  return { name: IDENTITY_FIELD, headerMatchSpecifier: { case: 'stringMatch' as const, value } };
}

function answersOf({ answerFields }: Inbound, channel: InboundChannel) {
  if (channel !== 'plaintext') return { responseHeadersToAdd: answerFields.map(({ name, value }) => overwrite(name, value)) };
  return answerFields.some(({ name }) => name === HSTS_FIELD) ? { responseHeadersToRemove: [HSTS_FIELD] } : {};
}

function overwrite(key: string, value: string): Init<typeof HeaderValueOptionSchema> {
  return { header: { key, value }, appendAction: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD };
}

function spellingsOf(field: string): readonly string[] {
  const [first = '', ...rest] = field.split('-');
  return rest.reduce<readonly string[]>((made, word) => made.flatMap((before) => [`${before}-${word}`, `${before}_${word}`]), [first]);
}

const IDENTITY_FIELD = 'x-forwarded-client-cert' satisfies (typeof identityFields)[number];
const ONE_IDENTITY = '(?:By=[^;,="]*;)?Hash=[0-9a-f]{64};URI=spiffe://[a-z0-9._-]+(?:/[A-Za-z0-9._-]+)+';
/** Every spelling of the fields that gateways in the manner of CGI would read as one of them; Envoy's own it writes anew. */
const LIES = identityFields.flatMap(spellingsOf).filter((spelling) => spelling !== IDENTITY_FIELD);
const LONGEST_CALL_MS = 600_000;
