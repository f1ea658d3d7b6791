import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';

/** When a connection takes no further call, so that it does not outlive the certificate that its other end showed. */
export function retirementOf(now: Instant, validUntil: Instant): Instant {
  if (!Number.isFinite(validUntil)) return validUntil;
  // Drawn at random, so that a fleet's connections do not all end together.
  return validUntil - Math.min(MAXIMUM_LEAD_MS, (validUntil - now) * LEAD_PART * (0.5 + Math.random() / 2));
}

/** Calls back once at this instant of the clock, with what is then left until `validUntil`; the function returned takes that back. */
export function callAtRetirement(clock: Clock, retireAt: Instant, validUntil: Instant, onNear: (leftMs: number) => void): () => void {
  if (!Number.isFinite(retireAt)) return doNothing;
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    const left = retireAt - clock.now();
    if (left <= 0) {
      onNear(Math.max(0, validUntil - clock.now()));
      return;
    }
    // Whole seconds share Node's timer lists; the clock is read again, because a machine may sleep or be set.
    const delay = left > COARSE_MS ? Math.floor(left / COARSE_MS) * COARSE_MS : left;
    timer = setTimeout(wait, Math.min(delay, MAXIMUM_TIMER_MS)).unref();
  };
  wait();
  return () => clearTimeout(timer);
}

function doNothing(): void {}

const LEAD_PART = 0.1;
const MAXIMUM_LEAD_MS = 60_000;
const COARSE_MS = 1_000;
const MAXIMUM_TIMER_MS = 3_600_000;
