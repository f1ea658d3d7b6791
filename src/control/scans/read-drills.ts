import { type DrillRunKind, drillReasons, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import type { DrillVerdict } from '../../core/findings/judge-drill.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { DrillFacts } from '../../core/rollout/rollout-facts.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type DrillJobRecord, listLatestJobs, listRunJobs, listVerdicts, type VerdictRecord } from './store.ts';

/** Every handshake of a run: the one that must pass first, so that a dead endpoint is seen as dead. */
export const drillRunKinds: readonly DrillRunKind[] = [POSITIVE_DRILL, ...(Object.keys(drillReasons) as DrillRunKind[])];

/** What the latest run of each endpoint showed, over all of its addresses: proven only where every address is. */
export async function readDrillFacts(queries: Queries, environment: string): Promise<ReadonlyMap<EntityId<'endpoint'>, DrillFacts>> {
  const jobs = await listLatestJobs(queries, environment);
  const verdicts = await listVerdicts(
    queries,
    jobs.map(({ id }) => id),
  );
  return new Map(
    [...Map.groupBy(jobs, ({ endpointId }) => endpointId)].map(([endpointId, own]) => [endpointId, combineJobs(own, verdicts)]),
  );
}

function combineJobs(jobs: readonly DrillJobRecord[], verdicts: readonly VerdictRecord[]): DrillFacts {
  const own = verdicts.filter(({ jobId }) => jobs.some(({ id }) => id === jobId));
  const combined = drillRunKinds.map((kind): [DrillRunKind, DrillVerdict] => {
    const ofKind = own.filter((verdict) => verdict.kind === kind);
    const failed = ofKind.find(({ proven }) => !proven);
    if (failed !== undefined) return [kind, { kind: 'failed', because: failed.because }];
    return [kind, ofKind.length === jobs.length ? { kind: 'proven' } : { kind: 'waiting' }];
  });
  return { startedAt: jobs[0]!.orderedAt, verdicts: new Map(combined) };
}

export type DrillRun = {
  readonly runId: EntityId<'drill'>;
  readonly closed: boolean;
  readonly jobs: readonly (DrillJobRecord & { readonly verdicts: readonly VerdictRecord[] })[];
};

/** A run as it stands, for who waits for it. Null if there is none of this id. */
export async function readDrillRun(queries: Queries, runId: EntityId<'drill'>): Promise<DrillRun | null> {
  return describeRun(queries, await listRunJobs(queries, runId));
}

/** The latest run of every endpoint of an environment. */
export async function readLatestDrills(queries: Queries, environment: string): Promise<readonly DrillRun['jobs'][number][]> {
  const jobs = await listLatestJobs(queries, environment);
  return (await describeRun(queries, jobs))?.jobs ?? [];
}

async function describeRun(queries: Queries, jobs: readonly DrillJobRecord[]): Promise<DrillRun | null> {
  if (jobs[0] === undefined) return null;
  const verdicts = await listVerdicts(
    queries,
    jobs.map(({ id }) => id),
  );
  return {
    runId: jobs[0].runId,
    closed: jobs.every(({ closedAt }) => closedAt !== null),
    jobs: jobs.map((job) => ({ ...job, verdicts: verdicts.filter(({ jobId }) => jobId === job.id) })),
  };
}
