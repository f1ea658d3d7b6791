/**
 * Why a certificate is revoked, with its number (RFC 5280 section 5.3.1). Left out on purpose: `certificateHold`, which TLS has no use for
 * (suspension is of identities), `removeFromCRL`, which only delta lists have, and `aACompromise`.
 */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
} as const;

export type RevocationReason = keyof typeof revocationReasons;

export function isRevocationReason(word: string): word is RevocationReason {
  return Object.hasOwn(revocationReasons, word);
}
