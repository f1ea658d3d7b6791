import { create } from '@bufbuild/protobuf';
import { createHash } from 'node:crypto';
import { BundleAuthority_Role, type Inbound, type Outbound, type TrustBundle } from '../messages/generated/countersign/v1/settings_pb.ts';
import {
  type CertificateValidationContextSchema,
  CertificateValidationContext_TrustChainVerification,
  SubjectAltNameMatcher_SanType,
  type SubjectAltNameMatcherSchema,
} from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import { SecretSchema } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import { SPIFFECertValidatorConfigSchema } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { encodePem } from '../x509/pem.ts';
import type { CallerRules } from './caller-rules.ts';
import type { EnvoyInput } from './compile-input.ts';
import { type EnvoyResource, envoyResource } from './envoy-resource.ts';
import { type Init, typedExtension } from './pack.ts';
import { envoyProtocol } from './protocol-name.ts';

type ValidationContext = Init<typeof CertificateValidationContextSchema>;
type SanMatcher = Init<typeof SubjectAltNameMatcherSchema>;

/** `cs|trust|inbound|endpoint_01…|mtls`; `probe`: the prober alone. */
export function inboundTrustName(endpointId: string, channel: 'tls' | 'mtls' | 'probe'): string {
  return `cs|trust|inbound|${endpointId}|${channel}`;
}

export function outboundTrustName(endpointId: string): string {
  return `cs|trust|outbound|${endpointId}`;
}

/**
 * Whom callers of an endpoint have to chain to. Behind a closed door a handshake succeeds for an allowed caller alone; behind an open one
 * whatever is shown is taken, and only what chains is told from what does not.
 */
export function inboundTrustSecret(input: EnvoyInput, { endpointId, protocol }: Inbound, rules: CallerRules): EnvoyResource {
  if (rules.door === 'open') {
    const trustChainVerification = CertificateValidationContext_TrustChainVerification.ACCEPT_UNTRUSTED;
    // What tells the anchors of trust domains apart refuses whoever shows no certificate, or a bad one: of another domain nobody is proved here.
    return validationSecret(inboundTrustName(endpointId, 'tls'), { ...anchorsOf(input, []), trustChainVerification });
  }
  // What the prober says on a stream would go to the service.
  const names = [...rules.callers, ...(rules.probe === null || envoyProtocol(protocol) === 'tcp' ? [] : [rules.probe])];
  const domains = bundlesFor(input, names).map(({ trustDomain }) => trustDomain);
  const matchers =
    rules.strangers === 'let in'
      ? domains.map((domain) => uriPrefix(`spiffe://${domain}/`))
      : (names.length > 0 ? names : [NOBODY]).map(uriExact);
  return validationSecret(inboundTrustName(endpointId, 'mtls'), {
    ...anchorsOf(input, rules.callers),
    matchTypedSubjectAltNames: matchers,
  });
}

/** Who may come to the answer for the prober of a port of raw TCP. */
export function probeTrustSecret(input: EnvoyInput, endpointId: string, probe: string): EnvoyResource {
  return validationSecret(inboundTrustName(endpointId, 'probe'), { ...anchorsOf(input, []), matchTypedSubjectAltNames: [uriExact(probe)] });
}

/** What servers of the own trust domain have to chain to: one for all ways of all Envoys, as the lists in it can be long. */
export const SERVERS_TRUST = 'cs|trust|servers';

/** Null: it is of another trust domain, whose anchors are those of its way alone. */
export function serverNames({ settings, revoked }: EnvoyInput, { serverSpiffeId }: Outbound): readonly SanMatcher[] | null {
  if (!isOwn(settings.trustDomain, serverSpiffeId)) return null;
  return [uriExact(revoked.suspendedSpiffeIds.includes(serverSpiffeId) ? NOBODY : serverSpiffeId)];
}

/** Whom the server of an endpoint of the fleet has to be, as far as a secret says it. */
export function serverTrustSecret(input: EnvoyInput, outbound: Outbound): EnvoyResource {
  const { serverSpiffeId } = outbound;
  if (isOwn(input.settings.trustDomain, serverSpiffeId)) return serversTrustSecret(input);
  const isSuspended = input.revoked.suspendedSpiffeIds.includes(serverSpiffeId);
  return validationSecret(outboundTrustName(outbound.endpointId), {
    ...anchorsOf(input, [serverSpiffeId]),
    matchTypedSubjectAltNames: [uriExact(isSuspended ? NOBODY : serverSpiffeId)],
  });
}

function serversTrustSecret(input: EnvoyInput): EnvoyResource {
  const anchors = anchorsOf(input, []);
  const known = serversTrust.get(anchors);
  if (known !== undefined) return known;
  const secret = validationSecret(SERVERS_TRUST, anchors);
  serversTrust.set(anchors, secret);
  return secret;
}

function isOwn(trustDomain: string, spiffeId: string): boolean {
  return spiffeId.split('/')[2] === trustDomain;
}

/** A server outside of the trust domain: its own anchors, its DNS name, and pinned keys where these are enforced. */
export function namedServerSecret({ endpointId, serverAnchors, serverName, pins }: Outbound): EnvoyResource {
  return validationSecret(outboundTrustName(endpointId), {
    trustedCa: pemSource(serverAnchors.map((der) => encodePem('CERTIFICATE', der))),
    matchTypedSubjectAltNames: [
      { sanType: SubjectAltNameMatcher_SanType.DNS, matcher: { matchPattern: { case: 'exact', value: serverName } } },
    ],
    verifyCertificateSpki: pins.map((pin) => Buffer.from(pin).toString('base64')).toSorted(),
  });
}

/** Authorities of one trust domain as anchors; of several each for its own names alone, which leaves the lists to the rules of calls. */
function anchorsOf(input: EnvoyInput, names: readonly string[]): ValidationContext {
  const bundles = bundlesFor(input, names);
  const known = made.get(input.crls) ?? new Map<string, Anchors>();
  made.set(input.crls, known);
  // A foreign name is never judged by our authorities, even where those of its own domain are all gone.
  const isFederated = names.some((name) => !isOwn(input.settings.trustDomain, name));
  const key = `${isFederated} ${bundles.map(({ trustDomain }) => trustDomain).join(' ')}`;
  const held = known.get(key);
  if (held !== undefined && held.bundles.every((bundle, index) => bundle === bundles[index])) return held.context;
  const context = makeAnchors(input, bundles, isFederated);
  known.set(key, { bundles, context });
  return context;
}

function makeAnchors(input: EnvoyInput, bundles: readonly TrustBundle[], isFederated: boolean): ValidationContext {
  if (!isFederated) {
    return { trustedCa: pemSource(bundles.flatMap(authoritiesOf)), ...listsOf(input, bundles), onlyVerifyLeafCertCrl: true };
  }
  const trustDomains = bundles.map((bundle) => ({ name: bundle.trustDomain, trustBundle: pemSource(authoritiesOf(bundle)) }));
  return { customValidatorConfig: typedExtension('envoy.tls.cert_validator.spiffe', SPIFFECertValidatorConfigSchema, { trustDomains }) };
}

/** The own trust domain, and others that are named; sorted. */
function bundlesFor({ settings, trust }: EnvoyInput, names: readonly string[]): readonly TrustBundle[] {
  const wanted = new Set([settings.trustDomain, ...names.map((name) => name.split('/')[2] ?? '')]);
  return trust.filter(({ trustDomain }) => wanted.has(trustDomain)).toSorted((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1));
}

/** Differs wherever an authority of another trust domain comes or goes that callers of these names are proved by: another domain revokes by what it leaves out. */
export function foreignTrustMark(input: EnvoyInput, names: readonly string[]): string {
  const foreign = bundlesFor(input, names).filter(({ trustDomain }) => trustDomain !== input.settings.trustDomain);
  return foreign.map((bundle) => `${bundle.trustDomain}\n${authoritiesOf(bundle).join('')}`).join('\n');
}

/** As a set: the order in which a bundle names them means nothing. */
function authoritiesOf({ authorities }: TrustBundle): readonly string[] {
  return [...new Set(authorities.map(({ certificate }) => encodePem('CERTIFICATE', certificate)))].toSorted();
}

/** BoringSSL refuses every leaf whose issuer has no list, once there is one: so all of them, or none. */
function listsOf({ crls }: EnvoyInput, bundles: readonly TrustBundle[]): ValidationContext {
  const lists = bundles
    .flatMap(({ authorities }) => authorities)
    .filter(({ role }) => role === BundleAuthority_Role.ISSUING)
    .map(({ certificate }) => crls.get(issuerKey(certificate)))
    .filter((list) => list !== undefined)
    .map((list) => encodePem('X509 CRL', list));
  return lists.length === 0 ? {} : { crl: pemSource([...new Set(lists)].toSorted()) };
}

/** Settings name an authority by its key. */
export function issuerKey(certificate: Uint8Array): string {
  return createHash('sha256').update(parseCertificate(certificate).spki).digest('hex');
}

function validationSecret(name: string, validationContext: ValidationContext): EnvoyResource {
  return envoyResource(SecretSchema, name, create(SecretSchema, { name, type: { case: 'validationContext', value: validationContext } }));
}

function pemSource(pems: readonly string[]) {
  return { specifier: { case: 'inlineBytes' as const, value: new Uint8Array(Buffer.from(pems.join(''), 'latin1')) } };
}

function uriExact(value: string): SanMatcher {
  return { sanType: SubjectAltNameMatcher_SanType.URI, matcher: { matchPattern: { case: 'exact', value } } };
}

function uriPrefix(value: string): SanMatcher {
  return { sanType: SubjectAltNameMatcher_SanType.URI, matcher: { matchPattern: { case: 'prefix', value } } };
}

/** No list of names would mean every name; this is none of a certificate. */
const NOBODY = 'nobody';
type Anchors = { readonly bundles: readonly TrustBundle[]; readonly context: ValidationContext };

/** All endpoints of all Envoys have the same anchors and lists, which can be long. */
const made = new WeakMap<EnvoyInput['crls'], Map<string, Anchors>>();
const serversTrust = new WeakMap<ValidationContext, EnvoyResource>();
