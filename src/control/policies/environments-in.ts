import type { Scope } from '../access/principal.ts';

/** The environments of a scope as SQL can list them: PostgreSQL knows no empty list, and no environment has an empty name. */
export function environmentsIn(scope: Scope): string[] {
  return ['', ...scope];
}
