/**
 * How long to wait before the next attempt, full jitter between half and all of an exponential step (milliseconds).
 * `random` is uniform in [0, 1).
 */
export function backoffMs(failures: number, random: number, bounds: { readonly firstMs: number; readonly mostMs: number }): number {
  const step = Math.min(bounds.mostMs, bounds.firstMs * 2 ** Math.min(failures, 30));
  return Math.max(bounds.firstMs, Math.round(step * (0.5 + random / 2)));
}
