import type { AuditedDatabase } from '../control/audit/entry.ts';
import { recordAcknowledgement } from '../control/fleet/record-acknowledgement.ts';
import { readSettings } from '../control/fleet/store.ts';
import type { FleetPort } from '../control/rollouts/fleet-port.ts';
import { makeFleetPort } from '../control/rollouts/make-fleet-port.ts';
import { readDrillFacts } from '../control/scans/read-drills.ts';
import type { EntityId } from '../core/ids/entity-id.ts';
import type { Instant } from '../core/time/instant.ts';
import type { Signal } from '../platform/clock/signal.ts';
import type { ResourceBody } from '../protocols/xds/sources.ts';

/** What the stream asks of fleet. */
export type FleetLink = {
  readonly settingsChanged: Signal;
  readSettings(proxyId: EntityId<'proxy'>): Promise<ResourceBody | null>;
  recordAcknowledgement(
    answer: { readonly proxyId: EntityId<'proxy'>; readonly version: string; readonly refusal?: string },
    now: Instant,
  ): Promise<void>;
};

/** The settings of a proxy are versioned on the wire by their generation. */
export function openFleetLink(deps: {
  readonly database: AuditedDatabase;
  readonly settingsChanged: Signal;
  readonly acknowledged: Signal;
}): FleetLink {
  const { database, settingsChanged, acknowledged } = deps;
  return {
    settingsChanged,
    async readSettings(proxyId) {
      const held = await readSettings(database.queries, proxyId);
      return held === null ? null : { name: proxyId, version: String(held.generation), octets: held.octets };
    },
    async recordAcknowledgement({ proxyId, version, refusal }, now) {
      const generation = Number(version);
      if (!Number.isSafeInteger(generation)) return;
      await recordAcknowledgement(
        { database, answered: acknowledged },
        { proxyId, generation, ...(refusal === undefined ? {} : { refusal }) },
        now,
      );
    },
  };
}

/** What rollouts ask of the slices on both sides of them. */
export const fleetPort: FleetPort = makeFleetPort(readDrillFacts);
