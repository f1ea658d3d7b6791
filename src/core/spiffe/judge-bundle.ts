import type { Certificate } from '../x509/certificate.ts';
import type { BundleDocument } from './bundle-document.ts';

/** Whether a bundle may take the place of the one that is held. */
export type BundleVerdict = { readonly kind: 'same' } | { readonly kind: 'newer' } | { readonly kind: 'refused'; readonly reason: string };

/**
 * Judges what a trust domain says of itself now by what it said before. A sequence that falls is an older state, in which an authority that was
 * revoked since is good; the same number over other authorities is one of two stories (SPIFFE Trust Domain and Bundle section 4.1.1).
 */
export function judgeBundle(held: BundleDocument | null, next: BundleDocument): BundleVerdict {
  if (held === null) return { kind: 'newer' };
  const isSame = digestOf(held) === digestOf(next);
  if (held.sequence === null) return isSame && next.sequence === null ? { kind: 'same' } : { kind: 'newer' };
  if (next.sequence === null) return refuse(`it has no sequence, and had ${held.sequence}`);
  if (next.sequence < held.sequence) return refuse(`its sequence falls from ${held.sequence} to ${next.sequence}`);
  if (next.sequence > held.sequence) return { kind: 'newer' };
  return isSame ? { kind: 'same' } : refuse(`its sequence is ${next.sequence} as before, and its authorities are others`);
}

/**
 * Why these authorities cannot be those of one trust domain alone, or null: a key that speaks for two has each speak for the other (section 6.4).
 * `others` are of other trust domains, each by its name.
 */
export function findSharedAuthority(
  authorities: readonly Certificate[],
  others: readonly { readonly trustDomain: string; readonly authorities: readonly Certificate[] }[],
): string | null {
  const keys = new Set(authorities.map(({ spkiSha256 }) => spkiSha256));
  for (const other of others) {
    const shared = other.authorities.find(({ spkiSha256 }) => keys.has(spkiSha256));
    if (shared !== undefined) return `it holds authority ${shared.spkiSha256}, which is one of ${other.trustDomain}`;
  }
  return null;
}

function digestOf({ authorities }: BundleDocument): string {
  return authorities
    .map(({ der }) => Buffer.from(der).toString('base64'))
    .toSorted()
    .join(' ');
}

function refuse(reason: string): BundleVerdict {
  return { kind: 'refused', reason };
}
