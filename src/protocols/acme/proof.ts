import type { Instant } from '../../core/time/instant.ts';
import type { NameResolver } from '../../platform/network/name-resolver.ts';
import type { OutsidePolicy } from '../../platform/network/outside-policy.ts';
import type { AcmeErrorType } from './problems.ts';

/** What a proof looked at, and what it found. A detail is shown to the client: it tells nothing of what else an address answers. */
export type Proof =
  /** `until`: no longer than this, whatever is usual. */
  | { readonly kind: 'proven'; readonly address: string | null; readonly until?: Instant }
  | { readonly kind: 'failed'; readonly type: AcmeErrorType; readonly detail: string };

export type ProofDeps = {
  readonly resolver: NameResolver;
  readonly policy: OutsidePolicy;
  readonly ports: { readonly http: number; readonly tls: number };
};

/** Whose proof is judged, by whom and when: what the records of the drafts name. */
export type ProofParties = { readonly accountUrl: string; readonly issuers: readonly string[]; readonly now: Instant };

/** What a client has to show (RFC 8555 section 8.1): `token.thumbprint`, and its SHA-256. */
export type KeyAuthorization = { readonly text: string; readonly sha256: Buffer };
