import { rolloutName } from '../declaration.ts';
import { mistrustingCaller, spiffeIdOf, undeclaredCaller } from '../fleet.ts';
import { type PathNames, readPathNames, readPlan, readStatus, type RolloutPlan, type RolloutStatus } from '../product-api.ts';
import { type HoldsSeen, noteHolds, writeDownRollout } from '../rollout-facts.ts';
import { pause, type Run } from '../run.ts';
import { repairTrustFile } from '../trust-file.ts';
import { writeDeclaration } from './declare-acme.ts';

const LONGEST_MS = 70_000;
const POLL_MS = 250;
const MEASURED_AFTER_MS = 2_000;
/** A wave that fails and was not rolled back in this time will not be. */
const ROLLBACK_PATIENCE_MS = 12_000;

/** What a person did meanwhile. */
type Repairs = { isAdmitted: boolean; isTrustRepaired: boolean; retried: number };

/**
 * Starts the rollout and watches it. Two callers are broken, and nobody told the planner: the undeclared one is admitted once the plan
 * names it, and the partner's trust file is repaired once its wave has rolled itself back.
 */
export async function runWaves(run: Run): Promise<void> {
  const { plane, facts, progress, timeline } = run;
  await plane.run('rollout', 'start', rolloutName, '--reason', 'the fleet is declared');
  const repairs: Repairs = { isAdmitted: false, isTrustRepaired: false, retried: 0 };
  const holds: HoldsSeen = new Map();
  const startedAt = Date.now();
  timeline.brokenWave = { caller: mistrustingCaller, from: startedAt, to: Number.POSITIVE_INFINITY };
  facts.undeclared = { namedByPlan: false, failedCalls: 0 };
  for (;;) {
    const [status, plan] = await Promise.all([readStatus(plane), readPlan(plane)]);
    const names = await readPathNames(plane);
    noteHolds(holds, status);
    writeDownRollout(run, { status, plan, names, holds });
    progress.tick(describeStages(plan));
    if (facts.paths !== null && facts.paths.proven + facts.paths.excepted === facts.paths.total) break;
    await admitUndeclared(run, plan, repairs);
    await repairPartner(run, status, repairs);
    const elapsed = Date.now() - startedAt;
    if (elapsed > LONGEST_MS) throw new Error(`the waves did not end within ${LONGEST_MS / 1000} s: ${describeStages(plan)}`);
    if (hasNoRollback(status, names, repairs)) throw new Error('the broken wave was not rolled back');
    await pause(POLL_MS);
  }
  const from = Date.now();
  await pause(MEASURED_AFTER_MS);
  timeline.after = { from, to: Date.now() };
  progress.note(`${facts.paths.proven} paths proven, ${facts.paths.excepted} excepted, ${facts.rollbacks.length} rolled back on the way`);
}

/** The operator reads the plan, finds a caller that enforcement would refuse, and admits it. */
async function admitUndeclared(run: Run, plan: RolloutPlan, repairs: Repairs): Promise<void> {
  const identity = spiffeIdOf(undeclaredCaller);
  const isNamed = [...plan.endpoints, ...plan.paths].some(({ wouldRefuse }) => wouldRefuse.some(({ caller }) => caller === identity));
  if (!isNamed || repairs.isAdmitted) return;
  repairs.isAdmitted = true;
  run.facts.undeclared = { namedByPlan: true, failedCalls: 0 };
  run.progress.note(`the plan names ${identity}, which enforcement would refuse; it is admitted`);
  await run.plane.run('apply', '-f', writeDeclaration(run, { admitsUndeclared: true }), '--yes');
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
  await run.plane.run('rollout', 'retry', rolloutName, '--reason', 'the trust file is repaired');
}

/** True if the partner's callers switched long ago and neither a verdict nor a rollback came. */
function hasNoRollback(status: RolloutStatus, names: PathNames, { isTrustRepaired }: Repairs): boolean {
  if (isTrustRepaired) return false;
  const switched = status.steps.filter(
    ({ kind, moves }) => kind === 'originate' && moves.some(({ pathId }) => names.get(pathId)?.caller === mistrustingCaller),
  );
  return switched.some(({ at }) => Date.now() - at > ROLLBACK_PATIENCE_MS);
}

function describeStages({ paths }: RolloutPlan): string {
  const stages = Map.groupBy(paths, ({ stage }) => stage);
  return [...stages].map(([stage, of]) => `${of.length} ${stage}`).join(', ');
}
