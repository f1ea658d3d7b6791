import type { Mode } from '../../core/policy/mode.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Peer } from './peer.ts';
import type { InboundSettings } from './proxy-settings.ts';
import { findRevocation, type RevokedIndex } from './revoked-index.ts';

/** What a connection or call meets. `would-refuse` and `except` pass; only enforcement refuses. */
export type Verdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'would-refuse'; readonly reason: RefusalReason }
  /** Nothing is proved, and an exception lets it be; `reason` is what would be refused without it. */
  | { readonly kind: 'except'; readonly reason: RefusalReason; readonly exception: string }
  | { readonly kind: 'refuse'; readonly reason: RefusalReason };

export type InboundRules = Pick<InboundSettings, 'anonymousMode' | 'strangerMode' | 'callers' | 'probe'>;

/**
 * Judges what a peer showed by the rules and the revoked set of this moment. The reason is the same in every mode, so what
 * `would-refuse` counts is exactly what enforcement would do.
 */
export function judgeConnection(
  now: Instant,
  peer: Peer,
  rules: InboundRules,
  revoked: RevokedIndex,
): Exclude<Verdict, { readonly kind: 'except' }> {
  const reason = findFault(now, peer, rules, revoked);
  if (reason === null) return ACCEPT;
  return modeFor(peer, rules) === 'enforce' ? { kind: 'refuse', reason } : { kind: 'would-refuse', reason };
}

/** The mode that applies: of the proved caller's path, else of strangers; who proved nothing meets the anonymous mode. */
export function modeFor({ identity }: Peer, rules: InboundRules): Mode {
  if (identity === null) return rules.anonymousMode;
  return rules.callers.get(identity.spiffeId) ?? rules.strangerMode;
}

/** True if the peer is the prober, whom the proxy answers itself. */
export function isProbe({ identity }: Peer, rules: InboundRules): boolean {
  return identity !== null && identity.spiffeId === rules.probe;
}

function findFault(now: Instant, peer: Peer, rules: InboundRules, revoked: RevokedIndex): RefusalReason | null {
  const { identity, offence } = peer;
  if (offence !== null) return offence;
  if (identity === null) return 'no-certificate';
  const revocation = findRevocation(revoked, identity);
  if (revocation !== null) return revocation;
  if (now > identity.validUntil) return 'expired';
  return rules.callers.has(identity.spiffeId) || isProbe(peer, rules) ? null : 'wrong-identity';
}

const ACCEPT = { kind: 'accept' } as const;
