import { listSuspensions } from '../ca/revocation-store.ts';
import { readFleet } from '../fleet/read-fleet.ts';
import { setPathModes } from '../fleet/set-path-modes.ts';
import type { FleetPort } from './fleet-port.ts';

/** The port over inventory, fleet and the CA. Drills stand right of this slice, so who composes the server hands them in. */
export function makeFleetPort(readDrills: FleetPort['readDrills']): FleetPort {
  return {
    readFleet,
    readSuspended: async (queries, environment) =>
      new Set((await listSuspensions(queries)).filter((record) => record.environment === environment).map(({ spiffeId }) => spiffeId)),
    readDrills,
    setPathModes,
  };
}
