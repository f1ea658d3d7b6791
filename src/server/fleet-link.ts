import type { AuditedDatabase } from '../control/audit/entry.ts';
import { recordAcknowledgement } from '../control/fleet/record-acknowledgement.ts';
import { setConnected } from '../control/fleet/set-connected.ts';
import { readSettings } from '../control/fleet/store.ts';
import type { FleetPort } from '../control/rollouts/fleet-port.ts';
import { makeFleetPort } from '../control/rollouts/make-fleet-port.ts';
import { readDrillFacts } from '../control/scans/read-drills.ts';
import type { EntityId } from '../core/ids/entity-id.ts';
import type { Instant } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { Signal } from '../platform/clock/signal.ts';
import type { Log } from '../platform/log/logger.ts';
import type { ResourceBody } from '../protocols/xds/sources.ts';

/** What the stream asks of fleet. */
export type FleetLink = AsyncDisposable & {
  readonly settingsChanged: Signal;
  /** Counts a proxy as connected until the last of its streams is disposed of. */
  attend(proxyId: EntityId<'proxy'>): Disposable;
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
  readonly clock: Clock;
  readonly log: Log;
}): FleetLink {
  const { database, settingsChanged, acknowledged, clock, log } = deps;
  const streams = new Map<EntityId<'proxy'>, number>();
  // One after another: a proxy that reconnects must not end as disconnected because two commits crossed.
  let marking: Promise<void> = Promise.resolve();
  const count = (proxyId: EntityId<'proxy'>, by: 1 | -1): void => {
    const open = (streams.get(proxyId) ?? 0) + by;
    if (open > 0) streams.set(proxyId, open);
    else streams.delete(proxyId);
    marking = marking
      .then(() => setConnected({ database }, proxyId, streams.has(proxyId), clock.now()))
      .catch((err: unknown) => log('error', 'connection could not be recorded', { proxyId, err }));
  };
  return {
    settingsChanged,
    attend(proxyId) {
      count(proxyId, 1);
      return { [Symbol.dispose]: () => count(proxyId, -1) };
    },
    [Symbol.asyncDispose]: () => marking,
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
