import type { CrlReason } from '../../core/x509/certificate-list.ts';

/**
 * Why a certificate may be revoked (RFC 5280 section 5.3.1). Left out on purpose: `certificateHold`, which TLS has no use for (suspension
 * is of identities), `removeFromCRL`, which only delta lists have, and `aACompromise`, which is for attribute authorities.
 */
export const revocationReasons = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
] as const satisfies readonly CrlReason[];

export type RevocationReason = (typeof revocationReasons)[number];

export function isRevocationReason(word: string): word is RevocationReason {
  return (revocationReasons as readonly string[]).includes(word);
}
