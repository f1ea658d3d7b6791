import type { RefusalReason } from '../tls/refusal-reason.ts';

/** A handshake that must fail, and the reason with which the proxy must log it. Each differs from `positive` in one property. */
export const drillReasons = {
  'no-certificate': 'no-certificate',
  'unknown-authority': 'unknown-authority',
  expired: 'expired',
  'not-yet-valid': 'not-yet-valid',
  revoked: 'revoked',
  'wrong-identity': 'wrong-identity',
  'wrong-usage': 'wrong-usage',
  'tls-1.1': 'tls-version',
  plaintext: 'plaintext',
  'revoked-then-resumed': 'revoked',
} as const satisfies Record<string, RefusalReason>;

export type DrillKind = keyof typeof drillReasons;

/** The one handshake of a drill run that must pass. */
export const POSITIVE_DRILL = 'positive';
export type DrillRunKind = DrillKind | typeof POSITIVE_DRILL;

/** The path of the one answer that a proxy gives itself, to the probe identity only. */
export const PROBE_PATH = '/.well-known/countersign/probe';
/** What the prober offers by ALPN to a port of raw TCP in its drills: a proxy that cannot answer on a stream tells by it who is no caller. */
export const PROBE_ALPN = 'countersign-probe';
