import type { EntityId } from '../../core/ids/entity-id.ts';
import { type Mode, type Origination, weakerMode } from '../../core/policy/mode.ts';
import type { PathRecord } from '../inventory/record.ts';

/** The two ends of a path, as its stage has them. */
export type ModeOfPath = { readonly receiverMode: Mode; readonly origination: Origination };

/**
 * What a peer meets that cannot be told to belong to one path: the weakest mode over the endpoint's paths.
 * Paths without a mode are not known to the rollout yet and count only where no path has one, so that declaring a caller
 * loosens nothing. Paths that the endpoint does not allow count only where it allows none: a stranger loosens nothing either.
 */
export function endpointModeOf(paths: readonly PathRecord[], modes: ReadonlyMap<EntityId<'path'>, ModeOfPath>): Mode {
  const known = paths.filter(({ id }) => modes.has(id));
  const allowed = known.filter((path) => path.allowed);
  const counted = allowed.length > 0 ? allowed : known;
  return counted.length === 0 ? 'observe' : counted.map(({ id }) => modes.get(id)!.receiverMode).reduce(weakerMode);
}
