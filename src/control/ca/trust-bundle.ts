import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { listAuthorities, readSequence } from './authority-store.ts';

/** All authorities of one trust domain that are to be trusted: a set, whose sequence rises with every change. */
export type TrustBundle = {
  readonly sequence: number;
  readonly trustDomain: TrustDomain;
  readonly authorities: readonly BundleAuthority[];
};

export type BundleAuthority = {
  readonly id: EntityId<'authority'>;
  readonly role: 'root' | 'issuing';
  /** DER. */
  readonly certificate: Uint8Array;
  /** SHA-256 of the SubjectPublicKeyInfo, lower case hex. */
  readonly spkiSha256: string;
  readonly notAfter: Instant;
};

/** The bundle as committed, or null before the first authority. The number is read first, so that a change is never missed. */
export async function readTrustBundle(queries: Queries): Promise<TrustBundle | null> {
  const sequence = await readSequence(queries, 'trust-bundle');
  const authorities = await listAuthorities(queries);
  const [first] = authorities;
  if (first === undefined) return null;
  return {
    sequence,
    trustDomain: first.trustDomain,
    authorities: authorities.map(({ id, kind, certificate, spkiSha256, notAfter }) => ({
      id,
      role: kind,
      certificate,
      spkiSha256,
      notAfter,
    })),
  };
}
