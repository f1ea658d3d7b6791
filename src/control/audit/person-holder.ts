import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { AuditEntry } from './entry.ts';

/** What a slice did about a person whose name stands in its rows. */
export type PersonHeld = {
  /** Rows that name the person no longer. */
  readonly erased: number;
  /** Things that need the name as long as they stand, in the words of a person: they have to be ended or given to somebody else first. */
  readonly inUse: readonly string[];
  /** What was for the person alone and is ended with the name, as entries of the log. */
  readonly ended?: readonly Pick<AuditEntry, 'type' | 'environment' | 'region' | 'data'>[];
};

/** A slice whose rows name persons: it puts `instead` in the place of the name wherever nothing needs it. In the commit of the erasure. */
export type PersonHolder = (
  queries: Queries,
  person: { readonly name: string; readonly instead: string },
  now: Instant,
) => Promise<PersonHeld>;
