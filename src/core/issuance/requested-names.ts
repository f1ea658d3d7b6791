import { type IpAddress, parseIpAddress } from '../identity/ip-address.ts';
import { parseSpiffeId, type SpiffeId } from '../identity/spiffe-id.ts';
import { Problem } from '../problems/problem.ts';
import type { CertificateRequest } from '../x509/certificate-request.ts';
import { oids } from '../x509/oid.ts';

/** What a certificate is asked for, as an order has it. */
export type RequestedNames = {
  readonly spiffeId: SpiffeId | null;
  readonly names: { readonly dns: readonly string[]; readonly ip: readonly string[] };
};

/**
 * The names of a CSR where nothing beside it says what is ordered. A common name is one of them only where there are no alternative names: many devices know no
 * other place for it. Whether anybody may have them is for the evaluator. @throws identity-malformed for a URI that is no SPIFFE ID, or several
 */
export function requestedNames({ subject, subjectAltNames }: Pick<CertificateRequest, 'subject' | 'subjectAltNames'>): RequestedNames {
  const { uri, dns, ip } = subjectAltNames;
  if (uri.length > 1) throw new Problem('identity-malformed', `Cannot read CSR: ${uri.length} URIs, expected one SPIFFE ID at most`);
  const spiffeId = uri[0] === undefined ? null : parseSpiffeId(uri[0]);
  if (uri.length + dns.length + ip.length > 0) return { spiffeId, names: { dns: dns.map((name) => name.toLowerCase()), ip } };
  const common = subject.rdns.flat().flatMap(({ type, value }) => (type === oids.commonName && value ? [value] : []));
  return {
    spiffeId,
    names: {
      dns: common.filter((name) => !ADDRESS.test(name)).map((name) => name.toLowerCase()),
      ip: common.filter((name) => ADDRESS.test(name)).map((name): IpAddress => parseIpAddress(name)),
    },
  };
}

/** True if both are the same names, in whatever order. */
export function sameNames(one: RequestedNames, other: RequestedNames): boolean {
  const spelled = ({ spiffeId, names }: RequestedNames): string =>
    JSON.stringify([spiffeId, [...new Set(names.dns)].toSorted(), [...new Set(names.ip)].toSorted()]);
  return spelled(one) === spelled(other);
}

/** No DNS name looks like this, whether or not it is an address. */
const ADDRESS = /^[0-9.]+$|:/;
