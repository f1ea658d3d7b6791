import { matchesDnsName, type DnsName, parseDnsPattern } from '../identity/dns-name.ts';
import { parseIpAddress, type IpAddress } from '../identity/ip-address.ts';
import { controlPlaneSpiffeId, environmentOf, isReservedSpiffeId, probeSpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import { Problem } from '../problems/problem.ts';
import { noNames, type SubjectAltNames } from '../x509/general-name.ts';
import { isEmptyName } from '../x509/name.ts';
import { oids } from '../x509/oid.ts';
import type { IssuanceFacts, IssuanceOrder, IssuanceReason } from './issuance-order.ts';
import type { Profile } from './profile.ts';

/** The names that the certificate will carry, and every rule that they break. */
export function judgeNames(
  profile: Profile,
  order: IssuanceOrder,
  facts: IssuanceFacts,
): { readonly names: SubjectAltNames; readonly reasons: readonly IssuanceReason[] } {
  const reasons: IssuanceReason[] = [];
  const refuse = (rule: IssuanceReason['rule'], message: string): void => void reasons.push({ rule, message });
  const names = readNames(order, refuse);
  judgeCount(names, refuse);
  if (distinguished.includes(profile.names)) judgeAuthorityName(order, names, refuse);
  else if (order.authorityName !== null) refuse('names', 'a distinguished name is for authorities only');
  judgeIdentity(profile, order, facts, refuse);
  if (profile.names === 'server') {
    if (names.dns.length + names.ip.length === 0) refuse('names', 'a server certificate needs a DNS name or an address');
  } else if (profile.names === 'probe' || profile.names === 'drill') {
    if (names.dns.length + names.ip.length > 0) refuse('names', "the probe is nobody's host: no DNS names or addresses");
  }
  judgeProof(order, names, refuse);
  judgeOwnHosts(order, names, facts, refuse);
  judgeCsrNames(order, names, refuse);
  return { names, reasons };
}

type Refuse = (rule: IssuanceReason['rule'], message: string) => void;

function readNames({ spiffeId, dnsNames, ipAddresses }: IssuanceOrder, refuse: Refuse): SubjectAltNames {
  const read = <T>(texts: readonly string[], parse: (text: string) => T): T[] =>
    [...new Set(texts)].flatMap((text) => {
      try {
        return [parse(text)];
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        refuse('names', error.message);
        return [];
      }
    });
  const dns = read(dnsNames.slice(0, MAX_NAMES + 1), parseDnsPattern);
  const ip: IpAddress[] = read(ipAddresses.slice(0, MAX_NAMES + 1), parseIpAddress);
  return { ...noNames, uri: spiffeId === null ? [] : [spiffeId], dns: [...new Set(dns)], ip: [...new Set(ip)] };
}

function judgeCount({ dns, ip }: SubjectAltNames, refuse: Refuse): void {
  if (dns.length + ip.length > MAX_NAMES) refuse('names', `more than ${MAX_NAMES} names`);
}

/** A proof for a name is none for the names below it, nor for a wildcard (RFC 8555 section 7.1.3). */
function judgeProof({ door, asker }: IssuanceOrder, { dns, ip }: SubjectAltNames, refuse: Refuse): void {
  if (door !== 'acme') return;
  const proven = new Set(asker.provenNames);
  for (const name of [...dns, ...ip].filter((name) => !proven.has(name)).slice(0, MAX_TOLD)) {
    refuse('proven-names', `control of ${JSON.stringify(name)} is not proved`);
  }
}

/** A certificate for the control plane's host would let its holder pose as it to every client that looks at host names. Wildcards count. */
function judgeOwnHosts({ door }: IssuanceOrder, { dns, ip }: SubjectAltNames, { reservedNames = [] }: IssuanceFacts, refuse: Refuse): void {
  if (door === 'control-plane') return;
  const own = [
    ...dns.filter((name) => reservedNames.some((host) => matchesDnsName(name, host as DnsName))),
    ...ip.filter((address) => reservedNames.includes(address)),
  ];
  for (const name of own.slice(0, MAX_TOLD)) refuse('reserved-name', `${JSON.stringify(name)} is the control plane's own`);
}

function judgeAuthorityName({ authorityName }: IssuanceOrder, names: SubjectAltNames, refuse: Refuse): void {
  if (!authorityName || isEmptyName(authorityName)) refuse('names', 'an authority needs a distinguished name');
  if (names.uri.length + names.dns.length + names.ip.length > 0) refuse('names', 'an authority has no name but its distinguished name');
}

/** Who may be whom: the trust domain, the environment and the reserved names. */
function judgeIdentity(profile: Profile, order: IssuanceOrder, facts: IssuanceFacts, refuse: Refuse): void {
  const { spiffeId, environment, asker } = order;
  const needsIdentity = !withoutIdentity.includes(profile.names);
  if (spiffeId === null) {
    if (needsIdentity) refuse('identity', `profile ${profile.name} needs a SPIFFE ID`);
    return;
  }
  if (!needsIdentity) return refuse('identity', `profile ${profile.name} carries no SPIFFE ID`);
  if (trustDomainOf(spiffeId) !== facts.trustDomain)
    refuse('identity', `trust domain ${trustDomainOf(spiffeId)}, expected ${facts.trustDomain}`);
  if (environmentOf(spiffeId) !== environment)
    refuse('environment', `the identity belongs to ${environmentOf(spiffeId)}, the order to ${environment}`);
  // A service's ID has exactly two segments, so that no service can pose as the parent of another.
  if (profile.names === 'workload' && !isReservedSpiffeId(spiffeId) && spiffeId.split('/').length !== 5)
    refuse('identity', 'expected spiffe://<trust domain>/<environment>/<service>');
  if (asker.spiffeId !== null && asker.spiffeId !== spiffeId && order.door !== 'drill') {
    refuse('identity', 'a data plane gets certificates of its own identity only');
  }
  judgeReserved(profile, order, facts, refuse);
}

function judgeReserved(
  { names: rule, name }: Profile,
  { spiffeId, environment }: IssuanceOrder,
  facts: IssuanceFacts,
  refuse: Refuse,
): void {
  const own = {
    'control-plane': controlPlaneSpiffeId(facts.trustDomain, environment),
    probe: probeSpiffeId(facts.trustDomain, environment),
  };
  if (rule === 'control-plane' || rule === 'probe') {
    if (spiffeId !== own[rule]) refuse('reserved-name', `profile ${name} is for ${own[rule]} only`);
  } else if (rule === 'drill') {
    // Drills pose as the probe or as a stranger beside it, never as a service and never as the control plane.
    if (!isReservedSpiffeId(spiffeId!) || spiffeId!.startsWith(own['control-plane']))
      refuse('reserved-name', 'a drill poses as the probe only');
  } else if (isReservedSpiffeId(spiffeId!)) {
    refuse('reserved-name', 'names under /countersign/ are not for workloads');
  }
}

/** A CSR may ask for less than the order has, never for more; a common name has to repeat one of the names (RFC 9525 ignores it). */
function judgeCsrNames({ key, authorityName }: IssuanceOrder, names: SubjectAltNames, refuse: Refuse): void {
  const { subjectAltNames: asked, subject } = key;
  const granted = new Set<string>([...names.uri, ...names.dns, ...names.ip]);
  const foreign = [...asked.uri, ...asked.dns.map((name) => name.toLowerCase()), ...asked.ip].filter((name) => !granted.has(name));
  for (const name of foreign.slice(0, MAX_TOLD))
    refuse('csr-names', `the CSR asks for ${JSON.stringify(name.slice(0, 300))} besides the order`);
  if (asked.email.length + asked.directory.length + asked.other.length > 0) refuse('csr-names', 'the CSR asks for names of other kinds');
  if (authorityName) return;
  for (const { type, value } of subject.rdns.flat()) {
    if (type !== oids.commonName) continue;
    if (!granted.has((value ?? '').toLowerCase()) && !granted.has(value ?? ''))
      refuse('csr-names', 'the common name of the CSR repeats none of the names');
  }
}

/** Let's Encrypt allows 100; a certificate with more is a directory. */
const MAX_NAMES = 100;
const MAX_TOLD = 10;
const distinguished: readonly Profile['names'][] = ['authority', 'responder', 'message-signer'];
const withoutIdentity: readonly Profile['names'][] = ['server', ...distinguished];
