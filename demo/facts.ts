import type { CallTotals, ChannelCounts, Steadiness } from './observer/analyse-calls.ts';

/** A path that is not mutual TLS end to end, with who answers for it and until when. */
export type PathException = {
  readonly path: string;
  readonly kind: 'bridge' | 'one-way-tls';
  readonly owner: string;
  readonly until: string;
};

/** Coverage as fractions of 1; both denominators hold every path and every call, the excepted ones too. */
export type Coverage = { readonly paths: number; readonly calls: number };

export type WaveFact = { readonly wave: number | null; readonly kind: string; readonly at: number; readonly paths: readonly string[] };

/** What held the rollout: a path or a whole endpoint, from when, and until when unless it held to the end. */
export type HoldFact = {
  readonly code: string;
  readonly path: string | null;
  readonly endpoint: string | null;
  readonly caller: string | null;
  readonly from: number;
  readonly to: number | null;
};

export type RollbackFact = {
  readonly path: string;
  readonly reasons: readonly string[];
  /** When the rollout decided it, epoch milliseconds. */
  readonly decidedAt: number;
  /** Epoch milliseconds: the first failed call of its caller, as the observer has it, and the last one. */
  readonly firstFailureAt: number;
  readonly lastFailureAt: number;
  /** When the caller's old behaviour was back: its first good call after which none failed. */
  readonly restoredAt: number;
  readonly secondsToRestore: number;
  readonly failedCalls: number;
};

/** An endpoint and the moment from which nothing readable and no impostor may pass: enforced, and its old connections gone. */
export type EnforcedEndpoint = { readonly endpoint: string; readonly drainedAt: number };

/** All that one run measured. Steps fill it in; claims read it; a field that no step could fill stays null. */
export type RunFacts = {
  startedAt: number;
  seconds: number;
  discovered: { readonly expected: number; readonly found: number; readonly plaintext: number } | null;
  coverage: { readonly before: Coverage | null; readonly after: Coverage | null };
  channelsBefore: ChannelCounts | null;
  channelsAfter: ChannelCounts | null;
  exceptions: readonly PathException[];
  calls: CallTotals | null;
  steadiness: Steadiness | null;
  waves: readonly WaveFact[];
  holds: readonly HoldFact[];
  /** Whether the plan named the caller that nobody declared before it was admitted, and how many of its calls failed. */
  undeclared: { readonly namedByPlan: boolean; readonly failedCalls: number } | null;
  rollbacks: readonly RollbackFact[];
  paths: { readonly proven: number; readonly excepted: number; readonly total: number } | null;
  drills: { readonly fired: number; readonly refused: number; readonly passed: number; readonly endpoints: number } | null;
  rotation: { readonly certificates: number; readonly failed: number; readonly seconds: number } | null;
  revocation: RevocationFact | null;
  impersonation: { readonly attempts: number; readonly succeededBefore: number; readonly succeededAfter: number } | null;
  /** Identity headers of impostors that an origin read from its own sidecar. */
  forgedIdentities: number | null;
  tap: { readonly markersBefore: number; readonly markersAfter: number } | null;
  sockets: readonly SocketFact[] | null;
  telemetry: { readonly observed: number; readonly counted: number } | null;
  audit: { readonly entries: number; readonly verified: boolean; readonly missing: readonly string[] } | null;
  checkpoints: { readonly kept: number; readonly consistent: boolean; readonly problem: string | null } | null;
};

export type RevocationFact = {
  readonly secondsToLastAcceptedCall: number;
  /** Calls of the stolen key that origins received in the second before, by kind of connection. */
  readonly acceptedBefore: { readonly open: number; readonly resumed: number; readonly new: number };
  readonly renewalRefused: boolean;
  readonly joinRefused: boolean;
  readonly streamRefused: boolean;
};

export type SocketFact = {
  readonly port: number;
  readonly processes: readonly string[];
  readonly plaintext: 'refused' | 'answered';
  /** Why it may answer plaintext, or null if it may not. */
  readonly exception: { readonly why: string; readonly owner: string; readonly until: string } | null;
};

export function noFacts(startedAt: number): RunFacts {
  return {
    startedAt,
    seconds: 0,
    discovered: null,
    coverage: { before: null, after: null },
    channelsBefore: null,
    channelsAfter: null,
    exceptions: [],
    calls: null,
    steadiness: null,
    waves: [],
    holds: [],
    undeclared: null,
    rollbacks: [],
    paths: null,
    drills: null,
    rotation: null,
    revocation: null,
    impersonation: null,
    forgedIdentities: null,
    tap: null,
    sockets: null,
    telemetry: null,
    audit: null,
    checkpoints: null,
  };
}
