import type { Kysely } from 'kysely';
import type { DrillRunKind } from '../../core/findings/drill-kind.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { EndpointProtocol } from '../inventory/record.ts';

/** One address of an endpoint to be drilled; jobs of one run were ordered together. */
export type DrillJobRecord = {
  readonly id: EntityId<'drill'>;
  readonly runId: EntityId<'drill'>;
  readonly environment: string;
  readonly region: string;
  readonly endpointId: EntityId<'endpoint'>;
  readonly endpointName: string;
  /** `IP:PORT`. */
  readonly address: string;
  readonly serverSpiffeId: SpiffeId;
  readonly protocol: EndpointProtocol;
  readonly orderedAt: Instant;
  readonly deadlineAt: Instant;
  /** When its last verdict fell. */
  readonly closedAt: Instant | null;
};

export type VerdictRecord = {
  readonly jobId: EntityId<'drill'>;
  readonly kind: DrillRunKind;
  readonly proven: boolean;
  /** Why it failed; empty when proven. */
  readonly because: string;
  readonly at: Instant;
};

type JobRow = {
  id: string;
  run_id: string;
  environment: string;
  region: string;
  endpoint_id: string;
  endpoint_name: string;
  address: string;
  server_spiffe_id: string;
  protocol: string;
  ordered_at: number;
  deadline_at: number;
  closed_at: number | null;
};
type ScanTables = { drill_jobs: JobRow; drill_verdicts: { job_id: string; kind: string; proven: number; because: string; at: number } };

export async function insertJobs(queries: Queries, jobs: readonly DrillJobRecord[]): Promise<void> {
  if (jobs.length > 0) await tables(queries).insertInto('drill_jobs').values(jobs.map(fromJob)).execute();
}

/** Jobs whose verdicts are not all there, of one environment or of all. */
export async function listOpenJobs(queries: Queries, environment: string | null): Promise<readonly DrillJobRecord[]> {
  const rows = await tables(queries)
    .selectFrom('drill_jobs')
    .selectAll()
    .where('closed_at', 'is', null)
    .$if(environment !== null, (query) => query.where('environment', '=', environment!))
    .orderBy('ordered_at')
    .limit(MAXIMUM_OPEN)
    .execute();
  return rows.map(toJob);
}

/** The jobs of each endpoint's latest run. */
export async function listLatestJobs(queries: Queries, environment: string): Promise<readonly DrillJobRecord[]> {
  const rows = await tables(queries)
    .selectFrom('drill_jobs as job')
    .selectAll('job')
    .where('job.environment', '=', environment)
    .where('job.ordered_at', '=', (inner) =>
      inner
        .selectFrom('drill_jobs as other')
        .select((max) => max.fn.max('other.ordered_at').as('latest'))
        .whereRef('other.endpoint_id', '=', 'job.endpoint_id'),
    )
    .execute();
  return rows.map(toJob);
}

/** The jobs of one run. */
export async function listRunJobs(queries: Queries, runId: EntityId<'drill'>): Promise<readonly DrillJobRecord[]> {
  return (await tables(queries).selectFrom('drill_jobs').selectAll().where('run_id', '=', runId).orderBy('endpoint_name').execute()).map(
    toJob,
  );
}

export async function findJob(queries: Queries, id: EntityId<'drill'>): Promise<DrillJobRecord | null> {
  const row = await tables(queries).selectFrom('drill_jobs').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toJob(row);
}

export async function closeJob(queries: Queries, id: EntityId<'drill'>, at: Instant): Promise<void> {
  await tables(queries).updateTable('drill_jobs').set({ closed_at: at }).where('id', '=', id).execute();
}

export async function listVerdicts(queries: Queries, jobIds: readonly EntityId<'drill'>[]): Promise<readonly VerdictRecord[]> {
  if (jobIds.length === 0) return [];
  const rows = await tables(queries).selectFrom('drill_verdicts').selectAll().where('job_id', 'in', jobIds).execute();
  return rows.map(({ job_id, kind, proven, because, at }) => ({
    jobId: job_id as EntityId<'drill'>,
    kind: kind as DrillRunKind,
    proven: proven === 1,
    because,
    at,
  }));
}

/** A verdict stands: the first one counts. */
export async function insertVerdicts(queries: Queries, verdicts: readonly VerdictRecord[]): Promise<void> {
  if (verdicts.length === 0) return;
  await tables(queries)
    .insertInto('drill_verdicts')
    .values(verdicts.map(({ jobId, kind, proven, because, at }) => ({ job_id: jobId, kind, proven: Number(proven), because, at })))
    .onConflict((conflict) => conflict.columns(['job_id', 'kind']).doNothing())
    .execute();
}

function toJob(row: JobRow): DrillJobRecord {
  return {
    id: row.id as EntityId<'drill'>,
    runId: row.run_id as EntityId<'drill'>,
    environment: row.environment,
    region: row.region,
    endpointId: row.endpoint_id as EntityId<'endpoint'>,
    endpointName: row.endpoint_name,
    address: row.address,
    serverSpiffeId: row.server_spiffe_id as SpiffeId,
    protocol: row.protocol as EndpointProtocol,
    orderedAt: row.ordered_at,
    deadlineAt: row.deadline_at,
    closedAt: row.closed_at,
  };
}

function fromJob(job: DrillJobRecord): JobRow {
  return {
    id: job.id,
    run_id: job.runId,
    environment: job.environment,
    region: job.region,
    endpoint_id: job.endpointId,
    endpoint_name: job.endpointName,
    address: job.address,
    server_spiffe_id: job.serverSpiffeId,
    protocol: job.protocol,
    ordered_at: job.orderedAt,
    deadline_at: job.deadlineAt,
    closed_at: job.closedAt,
  };
}

const tables = (queries: Queries): Kysely<ScanTables> => queries.withTables<ScanTables>();
/** What one prober can be given at a time. */
const MAXIMUM_OPEN = 5_000;
