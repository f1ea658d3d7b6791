import {
  type Inbound,
  Origination,
  type Outbound,
  type ProxySettings,
  StatusCheck,
  Termination,
} from '../messages/generated/countersign/v1/settings_pb.ts';
import { envoyProtocol } from './protocol-name.ts';
import { envoyGroups } from './tls-parameters.ts';

/** What Envoy cannot do of these settings, each as `ENDPOINT: FIELD: why`; none, where it can do all of them. */
export function objectionsOf({ inbound, outbound, trustDomain }: ProxySettings): readonly string[] {
  return [
    ...inbound.flatMap(ofInbound),
    ...inbound.flatMap((one) => ofForeigners(one, trustDomain)),
    ...outbound.flatMap(ofOutbound),
    ...inbound.flatMap(({ termination, nextHop }) =>
      termination === Termination.REENCRYPT && nextHop !== undefined ? ofOutbound(nextHop) : [],
    ),
  ];
}

function ofInbound(inbound: Inbound): readonly string[] {
  const { endpointName, proxyProtocolFrom, boundTokens, callerRate, anonymousExceptions, maximumBodyOctets, tls } = inbound;
  const found: readonly (readonly [boolean, string])[] = [
    [boundTokens !== undefined, 'http.boundTokens: it cannot hold a token to the certificate of its caller'],
    [callerRate !== undefined, 'http.rates.caller: it counts calls of an endpoint, not of each caller'],
    [anonymousExceptions.length > 0, 'exceptions for callers without a certificate: it cannot end one by itself'],
    [
      maximumBodyOctets > MAXIMUM_BODY_OCTETS,
      `http.maximumBodyOctets: it holds a body in memory to measure it, ${MAXIMUM_BODY_OCTETS} at most`,
    ],
    [proxyProtocolFrom.some((range) => !isEverybody(range)), 'proxyProtocol.from: it takes the header from everybody or from nobody'],
    ...groupsOf(tls?.groups ?? []),
  ];
  return sayings(endpointName, found);
}

/**
 * What holds each trust domain to its own anchors looks at no list of revoked certificates, at the first name alone, and takes a session up
 * again whoever is allowed by now. Rules of calls make up for that, which a stream has none of.
 */
function ofForeigners({ endpointName, protocol, termination, callers }: Inbound, trustDomain: string): readonly string[] {
  const isStream = envoyProtocol(protocol) === 'tcp' && termination !== Termination.PASSTHROUGH && termination !== Termination.MUTUAL;
  const isForeign = callers.some(({ spiffeId }) => spiffeId.split('/')[2] !== trustDomain);
  return sayings(endpointName, [
    [isStream && isForeign, 'callers of another trust domain on tcp: it cannot refuse a revoked certificate where calls have no rules'],
  ]);
}

function ofOutbound(outbound: Outbound): readonly string[] {
  const { endpointName, origination, oldTls, pins, statusCheck, showsHeldCertificate, tls, protocol, healthCheck } = outbound;
  const isNamed = origination === Origination.TLS;
  const found: readonly (readonly [boolean, string])[] = [
    [isNamed && oldTls !== undefined, 'old TLS: it cannot end an exception by itself'],
    [isNamed && pins.length > 0, 'pins: it looks at the key of the server alone, not at those of its authorities'],
    [isNamed && statusCheck !== StatusCheck.UNSPECIFIED, 'status of the server’s certificate: it asks nobody'],
    [isNamed && showsHeldCertificate, 'a held client certificate: the companion gives it the certificate of the proxy alone'],
    [envoyProtocol(protocol) === 'grpc' && (healthCheck?.path ?? '') !== '', 'replicas.healthCheck.path: not of an endpoint of grpc'],
    ...groupsOf(tls?.groups ?? []),
  ];
  return sayings(endpointName, found);
}

function groupsOf(groups: readonly string[]): readonly (readonly [boolean, string])[] {
  return groups.filter((group) => !envoyGroups.has(group)).map((group) => [true, `tls.groups: it does not know ${group}`]);
}

function sayings(endpointName: string, found: readonly (readonly [boolean, string])[]): readonly string[] {
  return found.filter(([isSo]) => isSo).map(([, saying]) => `${endpointName}: ${saying}`);
}

function isEverybody(range: string): boolean {
  return range === '0.0.0.0/0' || range === '::/0';
}

const MAXIMUM_BODY_OCTETS = 16_777_216n;
