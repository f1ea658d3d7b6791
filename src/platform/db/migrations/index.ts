import type { Migration } from 'kysely/migration';
import * as access from './0002-access.ts';
import * as ca from './0005-ca.ts';
import * as telemetry from './0007-telemetry.ts';

/** Append-only: a migration that was ever released is never changed, and its name never reused. */
export const migrations: Record<string, Migration> = {
  '0002-access': access,
  '0005-ca': ca,
  '0007-telemetry': telemetry,
};
