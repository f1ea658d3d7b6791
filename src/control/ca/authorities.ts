import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { ProfileBook } from '../policies/declared-profiles.ts';
import type { Signer } from '../../platform/signer/signer.ts';

/** An authority that can sign now: its certificate, its key's port, and what it sends with what it issues. */
export type IssuingAuthority = {
  readonly id: EntityId<'authority'>;
  readonly certificate: Certificate;
  /** SHA-256 of its SubjectPublicKeyInfo, lower case hex: with a serial, the identity of a certificate. */
  readonly keySha256: string;
  readonly environment: string;
  readonly region: string;
  readonly crlUrl: string | null;
  readonly crlShards: number;
  readonly ocspUrl: string | null;
  readonly signer: Signer;
  /** What follows the leaf in a chain: DER, without the root. */
  readonly chain: readonly Uint8Array[];
};

/** The authorities as opened at the start: the ring of those that sign, newest first, and the roots above them. */
export type Authorities = {
  readonly trustDomain: TrustDomain;
  readonly issuing: readonly IssuingAuthority[];
  readonly roots: readonly Certificate[];
  /** SHA-256 of SubjectPublicKeyInfo, lower case hex, of keys that are never certified; absent: none but those that the database knows. */
  readonly blockedKeys?: ReadonlySet<string>;
  /** Where profiles are found; absent: the product's own. */
  readonly profiles?: ProfileBook;
  /** Hosts of the control plane, which only its own door certifies; absent: none. */
  readonly reservedNames?: readonly string[];
};

/** The newest authority that is valid now, or the one that is named. @throws state-conflict if none is, or that one is not */
export function currentIssuer(authorities: Authorities, now: Instant, named?: EntityId<'authority'>): IssuingAuthority {
  const issuer = authorities.issuing.find(
    ({ id, certificate }) => certificate.notBefore <= now && now <= certificate.notAfter && (named === undefined || id === named),
  );
  if (issuer === undefined) throw new Problem('state-conflict', 'Cannot issue certificate: no issuing authority is valid now');
  return issuer;
}

/** The root that a join token pins: the one above the current issuer, which the newest issuer's chain ends at. SHA-256 of its SPKI, hex. */
export function pinnedRoot(authorities: Authorities): Certificate {
  const [issuer] = authorities.issuing;
  const root = authorities.roots.find(
    (root) => issuer !== undefined && Buffer.from(root.subject.der).equals(issuer.certificate.issuer.der),
  );
  if (root === undefined) throw new Problem('state-conflict', 'Cannot find root: no root stands above the issuing authority');
  return root;
}
