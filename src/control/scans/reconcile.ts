import { POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { type DrilledConnection, findSighting, type LoggedRefusal } from '../../core/findings/find-sighting.ts';
import { type DrillEvidence, type DrillVerdict, judgeDrill } from '../../core/findings/judge-drill.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listCertificates } from '../ca/search-certificates.ts';
import { listDeclaredProxies } from '../inventory/store.ts';
import { readEndpointsAwaitingDrills } from '../rollouts/read-rollout.ts';
import { findRefusals, readDrillResults } from '../telemetry/read-telemetry.ts';
import type { DrillResultRow, RefusalRow } from '../telemetry/store.ts';
import { orderDrills, type ScanDeps } from './order-drills.ts';
import { nameExceptions } from './name-exceptions.ts';
import { drillRunKinds } from './read-drills.ts';
import { closeJob, type DrillJobRecord, insertVerdicts, listLatestJobs, listOpenJobs, listVerdicts, type VerdictRecord } from './store.ts';

/** Orders the drills that a rollout waits for, and judges what has come in of those under way. Idempotent; reads all state anew. */
export async function reconcile(deps: ScanDeps, environment: string, now: Instant): Promise<void> {
  await orderAwaited(deps, environment, now);
  let judged = false;
  for (const job of await listOpenJobs(deps.database.queries, environment)) judged = (await judgeJob(deps, job, now)) || judged;
  if (judged) deps.changed.notify();
}

/** An endpoint that waits gets a run, and a further one when the last one failed or found no prober; never two at a time. */
async function orderAwaited(deps: ScanDeps, environment: string, now: Instant): Promise<void> {
  const { queries } = deps.database;
  const awaiting = await readEndpointsAwaitingDrills(queries, environment);
  if (awaiting.length === 0) return;
  const latest = Map.groupBy(await listLatestJobs(queries, environment), ({ endpointId }) => endpointId);
  const due = awaiting.filter(({ endpointId, drainedAt }) => {
    const jobs = latest.get(endpointId) ?? [];
    if (jobs.some(({ closedAt }) => closedAt === null)) return false;
    const isCurrent = jobs.some(({ orderedAt }) => orderedAt >= drainedAt);
    return !isCurrent || jobs.every(({ closedAt }) => now - closedAt! >= RETRY_AFTER_MS);
  });
  if (due.length === 0) return;
  const order = { environment, endpointIds: due.map(({ endpointId }) => endpointId), reason: 'the rollout enforced the endpoint' };
  await orderDrills(deps, order, { kind: 'system', name: 'scans' }, now);
}

/** True if a verdict fell. */
async function judgeJob({ database }: ScanDeps, job: DrillJobRecord, now: Instant): Promise<boolean> {
  const { queries } = database;
  const known = new Map((await listVerdicts(queries, [job.id])).map((verdict) => [verdict.kind, verdict]));
  const results = (await readDrillResults(queries, [job.id])).filter(
    ({ kind, endpoint_id, environment }) => !known.has(kind) && endpoint_id === job.endpointId && environment === job.environment,
  );
  const refusals = await findRefusals(queries, {
    firstOctetsSha256: results.map((result) => result.first_octets_sha256).filter(isGiven),
    addresses: results.map((result) => result.local_address).filter(isGiven),
  });
  const serials = results.some(({ kind }) => kind === POSITIVE_DRILL) ? await currentSerials(queries, job) : new Set<string>();
  const judged: VerdictRecord[] = [];
  for (const result of results) {
    const verdict = judgeDrill(evidenceOf(result, refusals, job), serials);
    if (verdict.kind !== 'waiting') judged.push(recordOf(job.id, result, verdict, now));
  }
  if (now > job.deadlineAt) {
    const answered = new Set([...known.keys(), ...judged.map(({ kind }) => kind)]);
    for (const kind of drillRunKinds.filter((candidate) => !answered.has(candidate))) judged.push(silenceOf(job.id, kind, results, now));
  }
  if (judged.length === 0) return false;
  const fresh = await nameExceptions(queries, job, judged, now);
  const all = [...known.values(), ...fresh];
  await database.commit(async (unit) => {
    await insertVerdicts(unit.queries, fresh);
    if (all.length < drillRunKinds.length) return;
    await closeJob(unit.queries, job.id, now);
    const { environment, region, runId, id: jobId, endpointId, endpointName, address } = job;
    const verdicts = Object.fromEntries(all.map(({ kind, proven, because }) => [kind, proven ? 'proven' : because]));
    const data = { runId, jobId, endpointId, endpoint: endpointName, address, proven: all.every(({ proven }) => proven), verdicts };
    recordEntry(unit, { type: 'drill.judged', at: now, environment, region, actor: { kind: 'system', name: 'scans' }, data });
  });
  return true;
}

function evidenceOf(result: DrillResultRow, refusals: readonly RefusalRow[], job: DrillJobRecord): DrillEvidence {
  const sighting = findSighting(connectionOf(result, job), refusals.map(loggedOf));
  return {
    kind: result.kind,
    octetsSent: result.octets_sent,
    octetsAnswered: result.octets_answered,
    seen: result.seen,
    resumed: result.resumed === 1,
    offeredSession: result.offered_session === 1,
    servedSerial: result.served_serial === '' ? null : result.served_serial,
    sighting:
      sighting === null
        ? null
        : {
            reason: sighting.row.reason,
            octetsForwarded: sighting.row.octets_forwarded,
            knownBy: sighting.firstOctetsSha256 === '' ? 'address' : 'octets',
          },
  };
}

function connectionOf(result: DrillResultRow, job: DrillJobRecord): DrilledConnection {
  return {
    endpointId: job.endpointId,
    at: result.at,
    firstOctetsSha256: result.first_octets_sha256,
    localAddress: result.local_address,
    presentedSerial: result.presented_serial,
  };
}

function loggedOf(row: RefusalRow): LoggedRefusal & { readonly row: RefusalRow } {
  const { endpoint_id: endpointId, at, first_octets_sha256: firstOctetsSha256, remote_address: remoteAddress, serial } = row;
  return { endpointId, at, firstOctetsSha256, remoteAddress, serial, row };
}

function isGiven(text: string): boolean {
  return text !== '';
}

function recordOf(
  jobId: EntityId<'drill'>,
  { kind }: DrillResultRow,
  verdict: Exclude<DrillVerdict, { kind: 'waiting' }>,
  at: Instant,
): VerdictRecord {
  return { jobId, kind, proven: verdict.kind === 'proven', because: verdict.kind === 'proven' ? '' : verdict.because, at };
}

function silenceOf(jobId: EntityId<'drill'>, kind: VerdictRecord['kind'], results: readonly DrillResultRow[], at: Instant): VerdictRecord {
  const because = results.some((result) => result.kind === kind)
    ? 'the proxy logged no refusal of this connection'
    : 'no prober reported in time';
  return { jobId, kind, proven: false, because, at };
}

/** The newest certificate issued to each proxy that serves the endpoint: what must be served now. */
async function currentSerials(queries: Queries, job: DrillJobRecord): Promise<ReadonlySet<string>> {
  const proxies = (await listDeclaredProxies(queries, [job.environment])).filter(({ inbound }) =>
    inbound.some(({ endpointId }) => endpointId === job.endpointId),
  );
  const newest = await Promise.all(
    proxies.map(({ id }) => listCertificates(queries, { environments: '*', proxyId: id, status: 'issued', limit: 1 })),
  );
  return new Set(newest.flat().map(({ serial }) => Buffer.from(serial).toString('hex')));
}

const RETRY_AFTER_MS = 10 * SECOND_MS;
