import type { TbsCertificate } from './certificate.ts';
import { contextPrimitive, DerReader, malformed, readSmallInteger, tags } from './der.ts';
import { oids, readOid } from './oid.ts';

/** What a certificate says about policies (RFC 5280 sections 4.2.1.4, 4.2.1.5, 4.2.1.11, 4.2.1.14). */
export type CertificatePolicies = {
  /** Null: no certificatePolicies extension. */
  readonly policies: ReadonlySet<string> | null;
  /** Subject domain policies by issuer domain policy; null: no policyMappings extension. */
  readonly mappings: ReadonlyMap<string, ReadonlySet<string>> | null;
  /** Certificates that may follow before an explicit policy is demanded. */
  readonly requireExplicit: number | null;
  readonly inhibitMapping: number | null;
  readonly inhibitAny: number | null;
};

/** Reads the four policy extensions. @throws der-malformed, also when a policy is named twice */
export function readCertificatePolicies(certificate: TbsCertificate): CertificatePolicies {
  const kept = known.get(certificate);
  if (kept) return kept;
  const found: { -readonly [K in keyof CertificatePolicies]: CertificatePolicies[K] } = {
    policies: null,
    mappings: null,
    requireExplicit: null,
    inhibitMapping: null,
    inhibitAny: null,
  };
  for (const { oid, critical, value } of certificate.extensions) {
    if (!policyExtensions.has(oid)) continue;
    const reader = DerReader.over(value);
    if (oid === oids.certificatePolicies) found.policies = readPolicies(reader.enter(tags.sequence), critical);
    else if (oid === oids.policyMappings) found.mappings = readMappings(reader.enter(tags.sequence));
    else if (oid === oids.inhibitAnyPolicy) found.inhibitAny = readSmallInteger(reader);
    else Object.assign(found, readConstraints(reader.enter(tags.sequence)));
    reader.finish();
  }
  known.set(certificate, found);
  return found;
}

function readPolicies(list: DerReader, critical: boolean): ReadonlySet<string> {
  const policies = new Set<string>();
  if (list.done) throw malformed('certificate policies without a policy');
  while (!list.done) {
    const information = list.enter(tags.sequence);
    const policy = readOid(information);
    // RFC 5280 section 4.2.1.4: not more than once.
    if (policies.has(policy)) throw malformed(`policy ${policy} twice`);
    policies.add(policy);
    if (!information.done) readQualifiers(information.enter(tags.sequence), critical);
    information.finish();
  }
  return policies;
}

/** Qualifiers are for people; only their form is looked at, and in a critical extension their kind (RFC 5280 section 4.2.1.4). */
function readQualifiers(list: DerReader, critical: boolean): void {
  if (list.done) throw malformed('policy qualifiers without a qualifier');
  while (!list.done) {
    const qualifier = list.enter(tags.sequence);
    const kind = readOid(qualifier);
    if (critical && !knownQualifiers.has(kind)) throw malformed(`critical certificate policies with a qualifier ${kind}`);
    qualifier.element();
    qualifier.finish();
  }
}

function readMappings(list: DerReader): ReadonlyMap<string, ReadonlySet<string>> {
  const mappings = new Map<string, Set<string>>();
  if (list.done) throw malformed('policy mappings without a mapping');
  while (!list.done) {
    const pair = list.enter(tags.sequence);
    const issuerDomain = readOid(pair);
    const subjects = mappings.get(issuerDomain) ?? new Set();
    mappings.set(issuerDomain, subjects.add(readOid(pair)));
    pair.finish();
  }
  return mappings;
}

function readConstraints(body: DerReader): Pick<CertificatePolicies, 'requireExplicit' | 'inhibitMapping'> {
  // RFC 5280 section 4.2.1.11: never an empty sequence.
  if (body.done) throw malformed('policy constraints without a constraint');
  const read = (number: number): number | null =>
    body.nextTag === contextPrimitive(number) ? readSmallInteger(body, contextPrimitive(number)) : null;
  const constraints = { requireExplicit: read(0), inhibitMapping: read(1) };
  body.finish();
  return constraints;
}

/** id-qt-cps and id-qt-unotice. */
const knownQualifiers: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.2.1', '1.3.6.1.5.5.7.2.2']);
const known = new WeakMap<TbsCertificate, CertificatePolicies>();
const policyExtensions: ReadonlySet<string> = new Set([
  oids.certificatePolicies,
  oids.policyMappings,
  oids.policyConstraints,
  oids.inhibitAnyPolicy,
]);
