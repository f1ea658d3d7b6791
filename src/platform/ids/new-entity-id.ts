import { type EntityId, type EntityKind, makeEntityId, RANDOM_OCTETS } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import { randomOctets } from './random-octets.ts';

/** A fresh id of this kind, from the machine's randomness. */
export function newEntityId<K extends EntityKind>(kind: K, now: Instant): EntityId<K> {
  return makeEntityId(kind, now, randomOctets(RANDOM_OCTETS));
}
