import { X509Certificate } from 'node:crypto';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { oids } from '../../core/x509/oid.ts';
import { decodePem } from '../../core/x509/pem.ts';
import { type PathUsage, verifyPath } from '../../core/x509/verify-path.ts';
import { publicAnchorsFor } from '../../platform/network/public-anchors.ts';
import type { ExternalAuthoritySettings } from './external-authority.ts';
import type { ExternalOrder } from './external-order.ts';
import { lifeOf } from './judge-request.ts';

export type AcceptedChain = { readonly leaf: Certificate; readonly issuer: Certificate; readonly chain: readonly Uint8Array[] };

export type ChainVerdict = ({ readonly kind: 'accepted' } & AcceptedChain) | { readonly kind: 'refused'; readonly detail: string };

/** Whether what the CA gave is what was decided: the key, exactly the names, the purposes, a life within the bound, and a valid path for a TLS server. */
export function acceptChain(
  chains: readonly (readonly Uint8Array[])[],
  order: Pick<ExternalOrder, 'csr' | 'names' | 'purposes' | 'longestMs'>,
  settings: Pick<ExternalAuthoritySettings, 'rootsPem' | 'preferredChain'>,
  now: Instant,
): ChainVerdict {
  let chain: readonly Uint8Array[];
  let certificates: readonly Certificate[];
  try {
    chain = chooseChain(chains, settings.preferredChain);
    certificates = chain.map((der) => parseCertificate(der));
  } catch (error) {
    return { kind: 'refused', detail: `a certificate of the chain cannot be read: ${(error as Error).message.slice(0, 200)}` };
  }
  const leaf = certificates[0];
  if (leaf === undefined) return { kind: 'refused', detail: 'the chain is empty' };
  if (leaf.spkiSha256 !== parseCertificateRequest(order.csr).spkiSha256)
    return { kind: 'refused', detail: 'the certificate is for another key' };
  const [asked, got] = [order.names, namesOf(leaf)].map((names) => [...new Set(names)].toSorted().join(' '));
  if (asked !== got) return { kind: 'refused', detail: `the certificate has other names: ${got!.slice(0, 200)}` };
  const verdict = verifyChain(certificates, { rootsPem: settings.rootsPem, usage: 'server' }, now);
  const excess = verdict.kind === 'accepted' ? findExcess(leaf, order) : null;
  return excess === null ? verdict : { kind: 'refused', detail: excess };
}

/** What the profile does not let it be. More purposes than it has are the CA's affair, as its life is within the bound. */
function findExcess(leaf: Certificate, { purposes, longestMs }: Pick<ExternalOrder, 'purposes' | 'longestMs'>): string | null {
  const held = leaf.extendedKeyUsage;
  const lacking = held === null || held.includes(oids.anyExtendedKeyUsage) ? [] : purposes.filter((purpose) => !held.includes(purpose));
  if (lacking.length > 0) return `the certificate lacks the purposes ${lacking.join(', ')}, which its profile wants`;
  const life = lifeOf(leaf);
  if (longestMs === null || life <= longestMs) return null;
  const [has, bound] = [life, longestMs].map((ms) => `${Math.round((ms / DAY_MS) * 10) / 10} days`);
  return `the certificate lasts ${has}, expected at most ${bound} by its profile or the credential that asked`;
}

/** Whether a chain, leaf first, leads to one of the roots (PEM; null: those that Node carries) as that of a TLS server, or client. @throws der-malformed if a root is none */
export function verifyChain(
  certificates: readonly Certificate[],
  { rootsPem, usage }: { readonly rootsPem: string | null; readonly usage: PathUsage },
  now: Instant,
): ChainVerdict {
  const [leaf, ...rest] = certificates;
  if (leaf === undefined) return { kind: 'refused', detail: 'the chain is empty' };
  const anchors =
    rootsPem === null ? publicAnchorsFor(certificates) : decodePem(rootsPem, 'CERTIFICATE').map((der) => parseCertificate(der));
  const verdict = verifyPath({ leaf, intermediates: rest, anchors, usage, now });
  if (verdict.kind === 'invalid')
    return { kind: 'refused', detail: `the chain is not valid: ${verdict.reason}, ${verdict.detail}`.slice(0, 300) };
  const issuer = verdict.path[1];
  return issuer === undefined
    ? { kind: 'refused', detail: 'the certificate is its own anchor' }
    : { kind: 'accepted', leaf, issuer, chain: certificates.map(({ der }) => der) };
}

/** Every name of a certificate, in the form in which they are compared; those of another kind than DNS and IP stand out. */
function namesOf({ subjectAltNames: { dns, ip, uri, email, directory, other } }: Certificate): readonly string[] {
  const strange = uri.length + email.length + directory.length + other.length > 0 ? ['a name of another kind'] : [];
  return [...dns.map((name) => name.toLowerCase()), ...ip, ...strange];
}

function chooseChain(chains: readonly (readonly Uint8Array[])[], preferred: string | null): readonly Uint8Array[] {
  const named = (chain: readonly Uint8Array[]): boolean =>
    chain.some((der) => {
      const { subject, issuer } = new X509Certificate(der);
      return `${subject}\n${issuer}`.split('\n').includes(`CN=${preferred}`);
    });
  return (preferred === null ? undefined : chains.find(named)) ?? chains[0] ?? [];
}
