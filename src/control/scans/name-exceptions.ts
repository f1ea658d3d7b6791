import type { DrillRunKind } from '../../core/findings/drill-kind.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { listExceptions } from '../inventory/store.ts';
import type { DrillJobRecord, VerdictRecord } from './store.ts';

/**
 * Says of drills that were not refused where an exception may be why: at raw TCP calls cannot be told apart, so a prober of its sources
 * is let in like anybody else, and what it saw proves nothing. At HTTP drills ask for what no exception can have.
 */
export async function nameExceptions(
  queries: Queries,
  { endpointId, environment, protocol }: DrillJobRecord,
  verdicts: readonly VerdictRecord[],
  now: Instant,
): Promise<readonly VerdictRecord[]> {
  if (protocol !== 'tcp' || !verdicts.some(isAdmittedAnonymous)) return verdicts;
  const names = (await listExceptions(queries, [environment]))
    .filter(({ anonymous, of, until }) => anonymous !== null && of.kind === 'endpoint' && of.endpointId === endpointId && until > now)
    .map(({ name }) => name);
  if (names.length === 0) return verdicts;
  const why = `; exceptions for whoever comes without a certificate: ${names.join(', ')}, expected a prober outside of their sources`;
  return verdicts.map((verdict) => (isAdmittedAnonymous(verdict) ? { ...verdict, because: `${verdict.because}${why}` } : verdict));
}

function isAdmittedAnonymous({ kind, proven }: VerdictRecord): boolean {
  return !proven && anonymousDrills.has(kind);
}

const anonymousDrills: ReadonlySet<DrillRunKind> = new Set(['plaintext', 'no-certificate']);
