import type { CaaProperty, NameResolver } from '../../platform/network/name-resolver.ts';
import type { ChallengeType } from './challenge-type.ts';

/** Who would issue: by which issuer domain names, for which account, after which proof (RFC 8657). */
export type CaaAsker = { readonly identities: readonly string[]; readonly accountUrl: string; readonly method: ChallengeType };

/**
 * Why the DNS forbids this CA to certify the name (RFC 8659 section 3); null if it does not. An answer that cannot be relied on forbids.
 * Without an issuer domain name of its own a CA cannot be meant by any record, so nothing is asked then.
 */
export async function checkCaa(
  resolver: Pick<NameResolver, 'caa'>,
  { name, wildcard }: { readonly name: string; readonly wildcard: boolean },
  asker: CaaAsker,
): Promise<string | null> {
  if (asker.identities.length === 0) return null;
  const labels = name.split('.');
  const domains = labels.map((_, at) => labels.slice(at).join('.'));
  const answers = await Promise.all(domains.map((domain) => resolver.caa(domain)));
  // The closest record set counts, whatever stands above it.
  for (const [at, answer] of answers.entries()) {
    if (answer.kind === 'failed') return `CAA of ${domains[at]} could not be asked (${answer.detail})`;
    if (answer.kind === 'found') return judgeCaa(answer.values, wildcard, asker) ? null : `CAA of ${domains[at]} does not permit this CA`;
  }
  return null;
}

/** True if the record set permits it. */
export function judgeCaa(properties: readonly CaaProperty[], wildcard: boolean, asker: CaaAsker): boolean {
  // RFC 8659 section 4.1: a critical property that is not understood forbids.
  if (properties.some(({ critical, tag }) => critical && !known.has(tag.toLowerCase()))) return false;
  const of = (wanted: string): string[] => properties.filter(({ tag }) => tag.toLowerCase() === wanted).map(({ value }) => value);
  const [issue, issueWild] = [of('issue'), of('issuewild')];
  const relevant = wildcard && issueWild.length > 0 ? issueWild : issue;
  return relevant.length === 0 || relevant.some((value) => permits(value, asker));
}

/** `[issuer-domain-name] *( ";" tag "=" value )`; what is malformed permits nobody (RFC 8659 section 4.2). */
function permits(value: string, { identities, accountUrl, method }: CaaAsker): boolean {
  const [domain = '', ...parts] = value.split(';').map((part) => part.trim());
  if (!identities.includes(domain.toLowerCase())) return false;
  const filled = parts.filter((part) => part !== '');
  const parameters = filled.map((part) => /^([a-z0-9]+)\s*=\s*([\x21-\x3a\x3c-\x7e]*)$/i.exec(part));
  // RFC 8657: each at most once, and then it binds.
  const of = (wanted: string): string[] => parameters.filter((match) => match?.[1]!.toLowerCase() === wanted).map((match) => match![2]!);
  const [accounts, methods] = [of('accounturi'), of('validationmethods')];
  if (parameters.includes(null) || accounts.length > 1 || methods.length > 1) return false;
  if (accounts[0] !== undefined && accounts[0] !== accountUrl) return false;
  return methods[0] === undefined || methods[0].split(',').includes(method);
}

const known: ReadonlySet<string> = new Set(['issue', 'issuewild', 'iodef', 'contactemail', 'contactphone', 'issuemail', 'issuevmc']);
