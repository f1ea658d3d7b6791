import type { RefusalReason } from '../tls/refusal-reason.ts';

/** Why a path is not valid: reasons of refused connections, and one that only certificate lists bring about. */
export type PathReason =
  | Extract<
      RefusalReason,
      'unknown-authority' | 'chain-invalid' | 'expired' | 'not-yet-valid' | 'revoked' | 'wrong-usage' | 'wrong-identity' | 'limit-exceeded'
    >
  | 'revocation-unknown';

export type PathFault = { readonly reason: PathReason; readonly detail: string };
