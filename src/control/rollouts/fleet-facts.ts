import type { EntityId } from '../../core/ids/entity-id.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Mode, Origination } from '../../core/policy/mode.ts';
import type { DrillFacts, PathFacts, ProxyFacts, Unit } from '../../core/rollout/rollout-facts.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { AuditedUnit } from '../audit/entry.ts';

/** An environment as inventory and fleet know it. */
export type FleetFacts = {
  readonly paths: readonly {
    readonly pathId: EntityId<'path'>;
    readonly endpointId: EntityId<'endpoint'>;
    readonly callerServiceId: EntityId<'service'>;
    readonly caller: SpiffeId;
    readonly protection: PathFacts['protection'];
    readonly exception: PathFacts['exception'];
    readonly callerProxies: readonly EntityId<'proxy'>[];
  }[];
  readonly endpoints: readonly {
    readonly endpointId: EntityId<'endpoint'>;
    readonly serviceId: EntityId<'service'>;
    readonly tier: 'critical' | 'standard';
    readonly unit: Unit;
    readonly receivers: readonly EntityId<'proxy'>[];
  }[];
  /** `acknowledged` only if the settings that the proxy acknowledged were compiled from the path modes as they stand now. */
  readonly deliveries: ReadonlyMap<EntityId<'proxy'>, ProxyFacts['delivery']>;
};

export type PathMode = {
  readonly pathId: EntityId<'path'>;
  readonly receiverMode: Mode;
  readonly origination: Origination;
};

/** What rollouts ask of the slices beside it. All reads are of a bounded number of queries. */
export type FleetPort = {
  readonly readFleet: (queries: Queries, environment: string, now: Instant) => Promise<FleetFacts>;
  readonly readSuspended: (queries: Queries, environment: string) => Promise<ReadonlySet<string>>;
  readonly readDrills: (queries: Queries, environment: string) => Promise<ReadonlyMap<EntityId<'endpoint'>, DrillFacts>>;
  /** Hands the modes to fleet in the commit of the step. */
  readonly setPathModes: (unit: AuditedUnit, modes: readonly PathMode[], now: Instant) => Promise<void>;
};
