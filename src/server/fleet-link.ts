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
  const marks = markInTurn<EntityId<'proxy'>>(
    (proxyIds) => setConnected({ database }, new Map(proxyIds.map((id) => [id, streams.has(id)])), clock.now()),
    (error, proxyIds) => log('error', 'connections could not be recorded', { proxies: proxyIds.length, error }),
  );
  const count = (proxyId: EntityId<'proxy'>, by: 1 | -1): void => {
    const open = (streams.get(proxyId) ?? 0) + by;
    if (open > 0) streams.set(proxyId, open);
    else streams.delete(proxyId);
    marks.add(proxyId);
  };
  return {
    settingsChanged,
    attend(proxyId) {
      count(proxyId, 1);
      return { [Symbol.dispose]: () => count(proxyId, -1) };
    },
    async [Symbol.asyncDispose]() {
      const open = [...streams.keys()];
      streams.clear();
      for (const proxyId of open) marks.add(proxyId);
      await marks.end();
    },
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

/**
 * One commit after another, each for all that changed during the one before: a proxy that reconnects must not end as disconnected because two
 * commits crossed, and a fleet that reconnects must not wait for a commit a proxy.
 */
function markInTurn<Id>(
  mark: (ids: readonly Id[]) => Promise<void>,
  failed: (error: unknown, ids: readonly Id[]) => void,
): { add(id: Id): void; end(): Promise<void> } {
  const waiting = new Set<Id>();
  let ended = false;
  let running: Promise<void> | null = null;
  const run = async (): Promise<void> => {
    // What came in the same turn goes into the same commit.
    await Promise.resolve();
    while (waiting.size > 0) {
      const ids = [...waiting].slice(0, MARKED_AT_ONCE);
      for (const id of ids) waiting.delete(id);
      await mark(ids).catch((error: unknown) => failed(error, ids));
    }
    running = null;
  };
  return {
    add(id) {
      if (ended) return;
      waiting.add(id);
      running ??= run();
    },
    async end() {
      ended = true;
      await running;
    },
  };
}

/** A bound for how long other commits wait behind it. */
const MARKED_AT_ONCE = 500;

/** What rollouts ask of the slices on both sides of them. */
export const fleetPort: FleetPort = makeFleetPort(readDrillFacts);
