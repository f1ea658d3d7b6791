import type { EntityId } from '../ids/entity-id.ts';
import type { PathMove } from './path-state.ts';
import type { Reason } from './reason.ts';

/** What kind of change a step is; `weaken` and `retry` are made by persons only. */
export type StepKind =
  | 'enrol'
  | 'permit'
  | 'originate'
  | 'settle'
  | 'enforce'
  | 'drained'
  | 'prove'
  | 'roll-back'
  | 'restore'
  | 'weaken'
  | 'retry';

/** Immutable once stored. Names its parent, so that two planners cannot both append. */
export type PlannedStep = {
  readonly kind: StepKind;
  readonly parent: EntityId<'step'> | null;
  /** The wave that it is about, null where it is about none. */
  readonly wave: number | null;
  readonly moves: readonly PathMove[];
  readonly reasons: readonly Reason[];
};

/** What one lane of the planner wants: a step (without its parent), or the reasons why it waits; none means nothing to do. */
export type LaneResult =
  | { readonly kind: 'step'; readonly step: Omit<PlannedStep, 'parent'> }
  | { readonly kind: 'wait'; readonly reasons: readonly Reason[] };
