import { type DnsName, matchesDnsName } from '../identity/dns-name.ts';
import type { IpAddress } from '../identity/ip-address.ts';
import type { TbsCertificate } from './certificate.ts';

/** The name by which a caller knows a server. */
export type ReferenceIdentity = { readonly kind: 'dns'; readonly name: DnsName } | { readonly kind: 'ip'; readonly address: IpAddress };

/** RFC 9525: subject alternative names of the same kind only; the common name is never looked at (section 6.4.4 of RFC 6125 is gone). */
export function presentsIdentity(certificate: TbsCertificate, reference: ReferenceIdentity): boolean {
  const names = certificate.subjectAltNames;
  if (reference.kind === 'ip') return names.ip.includes(reference.address);
  return names.dns.some((presented) => matchesDnsName(presented, reference.name));
}
