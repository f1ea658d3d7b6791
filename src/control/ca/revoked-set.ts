import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import { readSequence } from './authority-store.ts';
import { listRevokedSet, listRevokedSince, listSuspensions, type RevokedCertificate } from './revocation-store.ts';

/** What no proxy may accept any more. The sequence rises with every change and never falls. */
export type RevokedSet = {
  readonly sequence: number;
  readonly certificates: readonly RevokedCertificate[];
  readonly suspended: readonly SpiffeId[];
};

/** The set as committed. The number is read first: a change in between is delivered early and again, never missed. */
export async function readRevokedSet(queries: Queries): Promise<RevokedSet> {
  const sequence = await readSequence(queries, 'revoked-set');
  const certificates = await listRevokedSet(queries);
  const suspensions = await listSuspensions(queries);
  return { sequence, certificates, suspended: suspensions.map((suspension) => suspension.spiffeId) };
}

/**
 * What a reader that has the number `after` lacks: certificates that came since, and all suspensions; null if it lacks nothing. What expired is not told:
 * to refuse it still is right.
 */
export async function readRevokedSince(queries: Queries, after: number): Promise<RevokedSet | null> {
  const sequence = await readSequence(queries, 'revoked-set');
  if (sequence === after) return null;
  const certificates = await listRevokedSince(queries, after);
  const suspensions = await listSuspensions(queries);
  return { sequence, certificates, suspended: suspensions.map((suspension) => suspension.spiffeId) };
}
