import { HOUR_MS, type Instant, MINUTE_MS, SECOND_MS } from '../time/instant.ts';
import type { IssuanceFacts, IssuanceOrder, IssuanceReason } from './issuance-order.ts';
import type { Profile } from './profile.ts';

type Validity = { readonly notBefore: Instant; readonly notAfter: Instant };

/**
 * Chooses the validity in whole seconds, both ends included (RFC 5280 section 4.1.2.5, so one second less than the lifetime).
 * A lifetime that was asked for is given whole or refused; the usual one is cut at the end of the issuer's.
 */
export function chooseValidity(
  now: Instant,
  profile: Profile,
  order: IssuanceOrder,
  facts: IssuanceFacts,
): Validity | { readonly reasons: readonly IssuanceReason[] } {
  const start = Math.floor(now / SECOND_MS) * SECOND_MS;
  const { issuer } = facts;
  if (issuer && (start < issuer.notBefore || start > issuer.notAfter)) {
    return refusal('issuer', 'the issuing authority is not valid now');
  }
  const { min, usual, max } = profile.lifetimeMs;
  const granted = order.asker.grant?.maxLifetimeMs ?? Number.POSITIVE_INFINITY;
  const lifetime = order.lifetimeMs ?? Math.min(usual, granted);
  if (lifetime > granted) return refusal('grant', `the credential is for ${granted} ms at most`);
  // Not a number falls through every comparison, so the range is asked for, not its outside.
  if (!(lifetime >= min && lifetime <= max)) return refusal('lifetime', `${lifetime} ms, expected ${min} to ${max}`);
  const plain = plainValidity(start, profile, lifetime);
  const { notBefore, notAfter } = order.flaw === undefined ? plain : flawedValidity(start, order.flaw, plain);
  const last = issuer?.notAfter ?? Number.POSITIVE_INFINITY;
  if (notAfter <= last) return { notBefore, notAfter };
  if (order.lifetimeMs !== undefined || notBefore > last)
    return refusal('lifetime', "the certificate would outlive the issuing authority's");
  return { notBefore, notAfter: last };
}

function plainValidity(start: Instant, { backdateMs }: Profile, lifetime: number): Validity {
  const backdate = Math.floor(Math.min(backdateMs, lifetime / 10) / SECOND_MS) * SECOND_MS;
  const whole = Math.max(SECOND_MS, Math.floor(lifetime / SECOND_MS) * SECOND_MS);
  return { notBefore: start - backdate, notAfter: start + whole - SECOND_MS };
}

/** Far enough from now that no clock of the fleet can be in doubt. */
function flawedValidity(start: Instant, flaw: NonNullable<IssuanceOrder['flaw']>, plain: Validity): Validity {
  switch (flaw) {
    case 'expired':
      return { notBefore: start - 2 * HOUR_MS, notAfter: start - 10 * MINUTE_MS };
    case 'not-yet-valid':
      return { notBefore: start + HOUR_MS, notAfter: start + 2 * HOUR_MS };
    case 'wrong-usage':
      return plain;
    default:
      return flaw satisfies never;
  }
}

function refusal(rule: IssuanceReason['rule'], message: string): { readonly reasons: readonly IssuanceReason[] } {
  return { reasons: [{ rule, message }] };
}
