import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Mode } from '../../core/policy/mode.ts';
import type { DrillFacts } from '../../core/rollout/rollout-facts.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { AuditedUnit } from '../audit/entry.ts';
import type { FleetFacts } from '../fleet/read-fleet.ts';

export type PathMode = {
  readonly pathId: EntityId<'path'>;
  readonly receiverMode: Mode;
  readonly origination: 'plaintext' | 'mtls';
};

/** What rollouts ask of the slices beside it. All reads are of a bounded number of queries. */
export type FleetPort = {
  readonly readFleet: (queries: Queries, environment: string, now: Instant) => Promise<FleetFacts>;
  readonly readSuspended: (queries: Queries, environment: string) => Promise<ReadonlySet<string>>;
  readonly readDrills: (queries: Queries, environment: string) => Promise<ReadonlyMap<EntityId<'endpoint'>, DrillFacts>>;
  /** Hands the modes to fleet in the commit of the step. */
  readonly setPathModes: (unit: AuditedUnit, modes: readonly PathMode[], now: Instant) => Promise<void>;
};
