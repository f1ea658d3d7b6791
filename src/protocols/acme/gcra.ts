import type { Instant } from '../../core/time/instant.ts';

/** So many at once, and as many again in each period. */
export type Rate = { readonly burst: number; readonly periodMs: number };

/**
 * The generic cell rate algorithm: one instant for each key says all. `arrivalAt` is when the next cell would arrive if all kept to the rate;
 * absent or past means a full allowance.
 */
export function takeCells(
  now: Instant,
  arrivalAt: Instant | null,
  { burst, periodMs }: Rate,
  cells = 1,
): { readonly kind: 'taken'; readonly arrivalAt: Instant } | { readonly kind: 'refused'; readonly retryAfterMs: number } {
  const interval = periodMs / burst;
  // A clock that was set back must not close the door for longer than a period.
  const held = Math.min(arrivalAt ?? now, now + periodMs);
  const next = Math.max(held, now) + interval * cells;
  const wait = next - periodMs - now;
  return wait > 0 ? { kind: 'refused', retryAfterMs: Math.ceil(wait) } : { kind: 'taken', arrivalAt: Math.ceil(next) };
}
