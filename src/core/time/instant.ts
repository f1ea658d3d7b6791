/**
 * A point in time as integer milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
 * Core takes it as an argument, first (`now: Instant`); only `platform/clock` reads a clock.
 */
export type Instant = number & { readonly brand?: 'Instant' };

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
