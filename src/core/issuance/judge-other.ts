import { type DnsName, matchesDnsName } from '../identity/dns-name.ts';
import type { SubjectAltNames } from '../x509/general-name.ts';
import { parseSubjectPublicKey } from '../x509/public-key.ts';
import { findRsaWeakness } from '../x509/weak-rsa-key.ts';
import type { IssuanceOrder, IssuanceReason, OtherAuthority, RequestedKey } from './issuance-order.ts';
import type { Profile } from './profile.ts';

/** What stands against asking another CA. Its constraints and its life are its own affair; what it may be asked for and can be shown is ours. */
export function judgeOther(
  profile: Profile,
  { key }: IssuanceOrder,
  { other, names }: { readonly other: OtherAuthority; readonly names: SubjectAltNames },
): readonly IssuanceReason[] {
  const reasons: IssuanceReason[] = [];
  if (!other.profiles.includes(profile.name))
    reasons.push({
      rule: 'issuer',
      message: `${other.name} is not asked under profile ${profile.name}, expected ${listed(other.profiles)}`,
    });
  if (profile.names !== 'server') reasons.push({ rule: 'issuer', message: 'another CA certifies servers only' });
  const foreign = [
    ...names.dns.filter((name) => !allowsDns(other.allowedNames, name)),
    ...names.ip.filter((address) => !other.allowedNames.includes(address)),
  ];
  for (const name of foreign.slice(0, MAXIMUM_TOLD))
    reasons.push({ rule: 'constraints', message: `name ${name} is not among the allowed names of ${other.name}` });
  if (other.challenge === 'http-01' && names.dns.some((name) => name.startsWith('*.')))
    reasons.push({ rule: 'issuer', message: 'a wildcard can be shown by dns-01 only (RFC 8555 section 7.1.3)' });
  // RFC 8738 section 7.
  if (other.challenge === 'dns-01' && names.ip.length > 0)
    reasons.push({ rule: 'issuer', message: 'an address cannot be shown by dns-01' });
  const fault = keyFault(key);
  if (fault !== null) reasons.push({ rule: 'key', message: fault });
  return reasons;
}

/** How long what comes back may last. No CA is told a lifetime, since most refuse that: so none can be asked for, and what the last one gave is held against it. */
export function longestLife(
  { lifetimeMs: { max } }: Profile,
  { lifetimeMs, asker }: IssuanceOrder,
  other: OtherAuthority,
): { readonly longestMs: number } | { readonly reasons: readonly IssuanceReason[] } {
  const longestMs = Math.min(max, asker.grant?.maxLifetimeMs ?? Number.POSITIVE_INFINITY);
  if (lifetimeMs !== undefined)
    return { reasons: [{ rule: 'lifetime', message: `${other.name} chooses the lifetime, expected none to be asked for` }] };
  if (other.lifetimeMs !== null && other.lifetimeMs > longestMs)
    return { reasons: [{ rule: 'lifetime', message: `${other.name} gives ${other.lifetimeMs} ms, expected at most ${longestMs}` }] };
  return { longestMs };
}

/** What the lint of our own certificates finds, and what no public authority takes (CA/B BR 6.1.5). */
function keyFault({ publicKeyKind: key, spki }: RequestedKey): string | null {
  const fits =
    key.kind === 'ec'
      ? key.curve === 'P-256' || key.curve === 'P-384'
      : key.kind === 'rsa' && !key.pss && key.bits >= 2_048 && key.bits <= 4_096 && key.exponent % 2 === 1 && key.exponent >= 65_537;
  if (!fits) return 'the key is none that public authorities take: P-256, P-384, or RSA of 2048 to 4096 bits';
  // A request that is only explained may have no key yet.
  const weakness = key.kind === 'rsa' && spki.length > 0 ? findRsaWeakness(parseSubjectPublicKey(spki).keyOctets) : null;
  return weakness === null ? null : `the key is weak: ${weakness}`;
}

/** The same name, or one label under a wildcard; a wildcard is covered by itself alone. */
function allowsDns(allowed: readonly string[], name: string): boolean {
  return allowed.includes(name) || (!name.startsWith('*.') && allowed.some((pattern) => matchesDnsName(pattern, name as DnsName)));
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none: it is to be declared anew with `judgedBy`' : names.join(', ');
}

const MAXIMUM_TOLD = 10;
