import { matchesDnsName, type DnsName } from '../../core/identity/dns-name.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { findRsaWeakness } from '../../core/x509/weak-rsa-key.ts';
import { parseSubjectPublicKey } from '../../core/x509/public-key.ts';
import type { Role } from '../access/role.ts';
import { allowsName, type ExternalAuthorityRecord } from './external-authority.ts';

/** What is so, beside the request and the authority. */
export type RequestFacts = {
  /** Known to others, by a revocation of ours. */
  readonly keyBlocked: boolean;
  /** Digests of keys that the operator blocked. */
  readonly blockedKeys: ReadonlySet<string>;
  /** The control plane's own hosts. */
  readonly reservedNames: readonly string[];
};

/** Why this CA is not asked for it, all reasons; empty if it may be. */
export function judgeRequest(
  { settings }: Pick<ExternalAuthorityRecord, 'settings'>,
  { csr, role }: { readonly csr: CertificateRequest; readonly role: Role | null },
  facts: RequestFacts,
): readonly string[] {
  const { dns, ip, uri, email, directory, other } = csr.subjectAltNames;
  const reasons: string[] = [];
  if (role !== null && !settings.askers.includes(role)) reasons.push(`${role} may not ask this authority`);
  const count = dns.length + ip.length;
  if (count === 0) reasons.push('the CSR asks for no DNS name and no address');
  if (count > MAXIMUM_NAMES) reasons.push(`${count} names, expected at most ${MAXIMUM_NAMES}`);
  if (uri.length + email.length + directory.length + other.length > 0)
    reasons.push('the CSR asks for other names than DNS names and addresses, which public authorities do not certify');
  // RFC 8738 section 7.
  if (ip.length > 0 && settings.challenge.kind === 'dns-01') reasons.push('an address cannot be shown by dns-01');
  for (const name of [...dns, ...ip].slice(0, MAXIMUM_NAMES).map((text) => text.toLowerCase())) {
    if (!allowsName(settings, name)) reasons.push(`name ${name} is not among the allowed names of the authority`);
    if (
      facts.reservedNames.some(
        (own) => own.toLowerCase() === name || (name.startsWith('*.') && matchesDnsName(name, own.toLowerCase() as DnsName)),
      )
    )
      reasons.push(`name ${name} is the control plane's own`);
  }
  if (settings.challenge.kind === 'http-01' && dns.some((name) => name.startsWith('*.')))
    reasons.push('a wildcard can be shown by dns-01 only (RFC 8555 section 7.1.3)');
  reasons.push(...judgeKey(csr, facts));
  return reasons;
}

function judgeKey(
  { publicKeyKind: key, spki, spkiSha256 }: CertificateRequest,
  { keyBlocked, blockedKeys }: RequestFacts,
): readonly string[] {
  const fits =
    key.kind === 'ec'
      ? key.curve === 'P-256' || key.curve === 'P-384'
      : key.kind === 'rsa' && !key.pss && key.bits >= 2_048 && key.bits <= 4_096 && key.exponent % 2 === 1 && key.exponent >= 65_537;
  if (!fits) return ['the key is none that public authorities take: P-256, P-384, or RSA of 2048 to 4096 bits'];
  const weakness = key.kind === 'rsa' ? findRsaWeakness(parseSubjectPublicKey(spki).keyOctets) : null;
  return [
    ...(weakness === null ? [] : [`the key is weak: ${weakness}`]),
    ...(keyBlocked ? ['the key is known to be compromised'] : []),
    ...(blockedKeys.has(spkiSha256) ? ['the key is blocked'] : []),
  ];
}

/** As Let's Encrypt has it. */
export const MAXIMUM_NAMES = 100;
