import type { EntityId } from '../ids/entity-id.ts';
import type { SpiffeId } from '../identity/spiffe-id.ts';
import type { Mode, Origination } from '../policy/mode.ts';
import type { Instant } from '../time/instant.ts';
import type { Reason } from './reason.ts';

/**
 * How far a path has come. Who acts next: `observe` and `permissive` wait for the planner, `originate` for its wave's
 * verdict and then for its endpoint's gate, `enforce` for drain and drills, `proven` for nobody.
 */
export const pathStages = ['observe', 'permissive', 'originate', 'enforce', 'proven'] as const;
export type PathStage = (typeof pathStages)[number];

/** A person's decision that a path is weaker than the rollout would have it, until a date. */
export type Weakening = {
  readonly to: 'observe' | 'permissive' | 'originate';
  /** The person; the clear name stands in the audit log's erasable table as well. */
  readonly by: string;
  readonly reason: string;
  readonly until: Instant;
};

/** The path was rolled back for these reasons, and stays where it is until a person says retry. */
export type Setback = { readonly at: Instant; readonly from: PathStage; readonly reasons: readonly Reason[] };

export type PathState = {
  readonly pathId: EntityId<'path'>;
  readonly endpointId: EntityId<'endpoint'>;
  readonly caller: SpiffeId;
  /** Position of its wave, 0 is the canary; null before the path is enrolled. */
  readonly wave: number | null;
  readonly stage: PathStage;
  /** When the stage began. */
  readonly since: Instant;
  /** In `originate`: when the wave was judged good. In `enforce`: when the old connections were gone. */
  readonly settledAt: Instant | null;
  /** When the path was first proven. From then on only a person loosens it. */
  readonly latchedAt: Instant | null;
  readonly weakening: Weakening | null;
  readonly setback: Setback | null;
};

/** One change of one path. Only `set-back`, `weaken` loosen, and only `advance`, `join`, `restore` tighten; `release` ends a weakening of a path that was never proven. */
export type PathMove = { readonly pathId: EntityId<'path'>; readonly reasons: readonly Reason[] } & (
  | { readonly kind: 'enrol'; readonly wave: number }
  | { readonly kind: 'join'; readonly wave: number; readonly from: PathStage; readonly to: 'enforce' }
  | { readonly kind: 'advance'; readonly from: PathStage; readonly to: PathStage }
  | { readonly kind: 'settle'; readonly stage: 'originate' | 'enforce' }
  | { readonly kind: 'set-back'; readonly from: PathStage; readonly to: 'permissive' | 'originate' }
  | { readonly kind: 'restore'; readonly from: PathStage; readonly to: 'originate' | 'enforce' }
  | { readonly kind: 'weaken'; readonly from: PathStage; readonly to: Weakening['to']; readonly weakening: Weakening }
  | { readonly kind: 'release' }
  | { readonly kind: 'retry' }
);

/** The state after the move. */
export function applyMove(now: Instant, state: PathState, move: PathMove): PathState {
  switch (move.kind) {
    case 'enrol':
      return { ...state, wave: move.wave };
    case 'join':
      return { ...state, wave: move.wave, stage: 'enforce', since: now, settledAt: null };
    case 'advance':
      return {
        ...state,
        stage: move.to,
        since: now,
        settledAt: null,
        latchedAt: move.to === 'proven' ? (state.latchedAt ?? now) : state.latchedAt,
      };
    case 'settle':
      return { ...state, settledAt: now };
    case 'set-back':
      // Back in `originate` the path keeps the verdict of its wave: what failed is the enforcement.
      return {
        ...state,
        stage: move.to,
        since: now,
        settledAt: move.to === 'originate' ? now : null,
        setback: { at: now, from: move.from, reasons: move.reasons },
      };
    case 'restore':
      return { ...state, stage: move.to, since: now, settledAt: null, weakening: move.to === 'enforce' ? null : state.weakening };
    case 'weaken':
      return { ...state, stage: move.to, since: now, settledAt: null, weakening: move.weakening };
    case 'release':
      return { ...state, since: now, settledAt: null, weakening: null };
    case 'retry':
      return { ...state, setback: null };
    default:
      throw new TypeError(`Cannot apply move: ${String(move satisfies never)}`);
  }
}

/** What the endpoint's proxies do with this caller. */
export function receiverModeOf(stage: PathStage): Mode {
  return receiverModes[stage];
}

/** How the caller's proxies speak on this path. */
export function originationOf(stage: PathStage): Extract<Origination, 'plaintext' | 'mtls'> {
  return stage === 'observe' || stage === 'permissive' ? 'plaintext' : 'mtls';
}

/** True if `a` comes before `b`: going from `b` to `a` loosens. */
export function isEarlierStage(a: PathStage, b: PathStage): boolean {
  return pathStages.indexOf(a) < pathStages.indexOf(b);
}

/** True where the receiver refuses. */
export function isEnforced(stage: PathStage): boolean {
  return stage === 'enforce' || stage === 'proven';
}

const receiverModes = {
  observe: 'observe',
  permissive: 'permissive',
  originate: 'permissive',
  enforce: 'enforce',
  proven: 'enforce',
} as const satisfies Record<PathStage, Mode>;
