import { rolloutName } from '../declaration.ts';
import { mistrustingCaller, robbedService, type ServiceName, spiffeIdOf, undeclaredCaller } from '../fleet.ts';
import { type Names, readDrills, readNames, readPlan, readStatus, type RolloutPlan, type RolloutStatus } from '../product-api.ts';
import { writeDownRollout } from '../rollout-facts.ts';
import { pause, type Run } from '../run.ts';
import { findSabotage } from '../sabotage.ts';
import { repairTrustFile } from '../trust-file.ts';
import { writeDeclaration } from './declare-acme.ts';

/** A starved machine is slow and not wrong: how long the whole may take is a claim of its own. */
const LONGEST_MS = 150_000;
const POLL_MS = 400;
const MEASURED_AFTER_MS = 2_000;
/** A wave that fails and was not rolled back in this time will not be. The short form waits no longer than the claim does, and some. */
const ROLLBACK_PATIENCE_MS = { whole: 12_000, short: 7_000 } as const;

/** Holds that nobody resolves: a safety of the product itself is missing. */
const hopeless: readonly string[] = ['drain-overdue', 'drill-failed'];
const HOLD_PATIENCE_MS = { whole: 8_000, short: 3_000 } as const;
/** A proxy reads a changed trust file within a second. */
const REREAD_MS = 1_500;

/** What a person did meanwhile. */
type Repairs = { isAdmitted: boolean; unwantedAt: readonly ServiceName[]; isTrustRepaired: boolean; retried: number };

/**
 * Starts the rollout and watches it. Two callers are broken, and nobody told the planner: the undeclared one is admitted once the plan
 * names it, and the partner's trust file is repaired once its wave has rolled itself back.
 */
export async function runWaves(run: Run): Promise<void> {
  const { plane, facts, progress, timeline } = run;
  try {
    await watchWaves(run);
  } finally {
    const { failures: _, ...drills } = await readDrills(plane);
    facts.drills = drills;
  }
  const from = Date.now();
  await pause(MEASURED_AFTER_MS);
  timeline.after = { from, to: Date.now() };
  progress.note(`${facts.paths!.proven} paths proven, ${facts.paths!.excepted} excepted, ${facts.rollbacks.length} rolled back on the way`);
}

async function watchWaves(run: Run): Promise<void> {
  const { plane, facts, progress, timeline } = run;
  await plane.run('rollout', 'start', rolloutName, '--reason', 'the fleet is declared');
  const repairs: Repairs = { isAdmitted: false, unwantedAt: [], isTrustRepaired: false, retried: 0 };
  const startedAt = Date.now();
  const { short, sabotage } = run.flags;
  // Where a later step shows the sabotage, the waves have to end well, however slow the machine is.
  const form = short && sabotage !== null && findSabotage(sabotage).steps.at(-1) === 'waves' ? 'short' : 'whole';
  timeline.brokenWave = { caller: mistrustingCaller, from: startedAt, to: Number.POSITIVE_INFINITY };
  facts.undeclared = { namedByPlan: false, failedCalls: 0 };
  for (;;) {
    const [status, plan] = await Promise.all([readStatus(plane), readPlan(plane)]);
    const names = await readNames(plane);
    writeDownRollout(run, { status, plan, names });
    progress.tick(describeStages(plan));
    if (facts.paths !== null && facts.paths.proven + facts.paths.excepted === facts.paths.total) break;
    await readThePlan(run, plan, names, repairs);
    await repairPartner(run, status, repairs);
    const elapsed = Date.now() - startedAt;
    if (elapsed > LONGEST_MS)
      throw new Error(`the waves did not end within ${LONGEST_MS / 1000} s: ${describeStages(plan)}; ${describeHolds(run)}`);
    if (hasNoRollback(status, names, repairs, ROLLBACK_PATIENCE_MS[form])) throw new Error('the broken wave was not rolled back');
    const stuck = facts.holds.find(
      ({ code, from, to }) => hopeless.includes(code) && to === null && Date.now() - from > HOLD_PATIENCE_MS[form],
    );
    if (stuck !== undefined) throw new Error(`the waves are stuck: ${stuck.code} at ${stuck.endpoint}`);
    await pause(POLL_MS);
  }
}

/**
 * The operator reads the plan and finds callers that enforcement would refuse: one that belongs there and is admitted, and one that has
 * no business there, because its certificate was stolen, and is declared unwanted.
 */
async function readThePlan(run: Run, plan: RolloutPlan, names: Names, repairs: Repairs): Promise<void> {
  const undeclared = spiffeIdOf(undeclaredCaller);
  const robbed = spiffeIdOf(robbedService);
  const refused = [...plan.endpoints, ...plan.paths].flatMap(({ endpointId, wouldRefuse }) =>
    wouldRefuse.map(({ caller }) => ({ endpointId, caller })),
  );
  const isAdmitted = repairs.isAdmitted || refused.some(({ caller }) => caller === undeclared);
  const strangeAt = refused.flatMap(({ endpointId, caller }) => (caller === robbed ? (names.endpoints.get(endpointId) ?? []) : []));
  const unwantedAt = [...new Set([...repairs.unwantedAt, ...strangeAt])];
  if (isAdmitted === repairs.isAdmitted && unwantedAt.length === repairs.unwantedAt.length) return;
  if (isAdmitted && !repairs.isAdmitted) run.progress.note(`the plan names ${undeclared}, which enforcement would refuse; it is admitted`);
  if (unwantedAt.length > repairs.unwantedAt.length)
    run.progress.note(`the plan names ${robbed} at ${unwantedAt.join(', ')}; it is declared unwanted there`);
  Object.assign(repairs, { isAdmitted, unwantedAt });
  run.facts.undeclared = { namedByPlan: isAdmitted, failedCalls: 0 };
  await run.plane.run('apply', '-f', writeDeclaration(run, { admitsUndeclared: isAdmitted, unwantedAt }), '--yes');
}

/** After each rollback of the partner: its trust file is repaired (once), and the rollout is told to try again. */
async function repairPartner(run: Run, status: RolloutStatus, repairs: Repairs): Promise<void> {
  if (status.rollbacks.length <= repairs.retried) return;
  repairs.retried = status.rollbacks.length;
  if (!repairs.isTrustRepaired) {
    repairs.isTrustRepaired = true;
    repairTrustFile(run.cloud, run.plane.rootFile);
    run.progress.note(`a wave rolled itself back; the trust file of ${mistrustingCaller} is repaired`);
  }
  await pause(REREAD_MS);
  const { code, stderr } = await run.plane.try('rollout', 'retry', rolloutName, '--reason', 'the trust file is repaired');
  // What was rolled back from enforcement alone comes back by itself.
  if (code !== 0) run.progress.note(`rollout retry ended with ${code}: ${stderr.trim()}`);
}

/** True if the partner's callers switched long ago and neither a verdict nor a rollback came. */
function hasNoRollback(status: RolloutStatus, names: Names, { isTrustRepaired }: Repairs, patienceMs: number): boolean {
  if (isTrustRepaired) return false;
  const switched = status.steps.filter(
    ({ kind, moves }) => kind === 'originate' && moves.some(({ pathId }) => names.paths.get(pathId)?.caller === mistrustingCaller),
  );
  return switched.some(({ at }) => Date.now() - at > patienceMs);
}

function describeStages({ paths }: RolloutPlan): string {
  const stages = Map.groupBy(paths, ({ stage }) => stage);
  return [...stages].map(([stage, of]) => `${of.length} ${stage}`).join(', ');
}

function describeHolds({ facts }: Run): string {
  const open = facts.holds.filter(({ to }) => to === null);
  return open
    .map(({ code, path, endpoint, caller }) => [code, path ?? endpoint, caller].filter((part) => part !== null).join(' '))
    .join(', ');
}
