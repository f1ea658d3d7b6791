import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** What a slice did about a person whose name stands in its rows. */
export type PersonHeld = {
  /** Rows that name the person no longer. */
  readonly erased: number;
  /** Things that need the name as long as they stand, in the words of a person: they have to be ended or given to somebody else first. */
  readonly inUse: readonly string[];
};

/** A slice whose rows name persons: it puts `instead` in the place of the name wherever nothing needs it. In the commit of the erasure. */
export type PersonHolder = (
  queries: Queries,
  person: { readonly name: string; readonly instead: string },
  now: Instant,
) => Promise<PersonHeld>;
