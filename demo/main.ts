/** `npm run demo`: Acme Cloud goes from plaintext to proven mutual TLS. See flags.ts for the options and steps.ts for what happens. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AcmeCloud, startAcmeCloud, stopAcmeCloud } from './acme-cloud.ts';
import { type ClaimName, claims, type Judged, judgeClaims, UNMEASURED } from './claims.ts';
import { ControlPlane } from './control-plane.ts';
import { evaluateRun } from './evaluate.ts';
import { noFacts } from './facts.ts';
import { type Flags, readFlags } from './flags.ts';
import { ProcessGroup } from './process-group.ts';
import { intactProduct, sabotagedProduct } from './product.ts';
import { openProgress } from './progress.ts';
import { layOut } from './replica.ts';
import { toJson, toTable } from './report.ts';
import type { Run } from './run.ts';
import { makeRunDirectory } from './run-directory.ts';
import { findSabotage, type Sabotage, shortStepsOf } from './sabotage.ts';
import { type Step, steps } from './steps.ts';
import { emptyTimeline } from './timeline.ts';

/** 2 is kept for steps that are not built. */
const exitCodes = { ok: 0, claimFailed: 1, unnoticed: 3, usage: 64 } as const;
const root = join(import.meta.dirname, '..');

async function main(flags: Flags): Promise<number> {
  const startedAt = Date.now();
  const progress = openProgress(startedAt);
  const sabotage = flags.sabotage === null ? null : findSabotage(flags.sabotage);
  const directory = makeRunDirectory(join(root, '.demo'), flags.sabotage ?? 'run');
  await using group = new ProcessGroup(join(directory, 'logs'), { NODE_COMPILE_CACHE: join(root, '.demo', 'compile-cache') });
  const product = sabotage === null ? intactProduct(root) : sabotagedProduct(root, join(directory, 'product'), sabotage, flags.plane);
  const plane = new ControlPlane(product, group, join(directory, 'control-plane'));
  endOnSignals(group, plane, flags.keep);

  progress.step('Acme Cloud starts, in plaintext, with its observer, its tap and an impostor');
  const cloud = await startAcmeCloud(group, directory, layOut(flags.plane, { isShort: flags.short }));
  const run: Run = { flags, cloud, plane, progress, facts: noFacts(startedAt), timeline: emptyTimeline(), dataPlanes: new Map() };
  const chosen = flags.short ? steps.filter(({ name }) => shortStepsOf(sabotage).has(name)) : steps;
  const failure = await takeSteps(run, chosen);
  run.facts.seconds = (Date.now() - startedAt) / 1000;
  if (!flags.keep) await stopEverything(run, cloud);
  evaluateRun(run.facts, run.timeline, cloud.files, { isLive: flags.keep });
  const judged = judgeClaims(run.facts, claimsOf(chosen));
  process.stderr.write(`${toTable(run.facts, judged)}\n`);
  if (failure !== null) process.stderr.write(`${failure}\n`);
  if (flags.json) process.stdout.write(`${JSON.stringify(toJson(run.facts, judged, { sabotage: flags.sabotage, failure }))}\n`);
  const ending = endingOf(judged, failure, sabotage);
  if (flags.keep) {
    await keepUp(run);
    await stopEverything(run, cloud);
  }
  if (ending === exitCodes.ok) rmSync(directory, { recursive: true, force: true });
  else process.stderr.write(`logs and files of this run: ${directory}\n`);
  return ending;
}

/** Takes the steps in order; a step that fails ends them. Null, or what failed. */
async function takeSteps(run: Run, chosen: readonly Step[]): Promise<string | null> {
  for (const { name, title, take } of chosen) {
    run.progress.step(title);
    try {
      await take(run);
    } catch (error) {
      return `step ${name} failed: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  return null;
}

/** In the short form a claim is judged only if its step was taken. */
function claimsOf(chosen: readonly Step[]): readonly ClaimName[] {
  return claims.filter(({ step }) => step === null || chosen.some(({ name }) => name === step)).map(({ name }) => name);
}

async function keepUp({ progress }: Run): Promise<void> {
  progress.step('Everything stays up until Ctrl-C');
  await new Promise<void>((resolve) => process.once('SIGINT', resolve));
}

async function stopEverything({ dataPlanes, plane }: Run, cloud: AcmeCloud): Promise<void> {
  // Callers first: a sidecar that ends before its service would fail the last calls.
  await stopAcmeCloud(cloud);
  await Promise.all([...dataPlanes.values()].map((running) => running.stop()));
  await plane.stop();
}

/** Every process of the demo ends with it, whatever ended it. */
function endOnSignals(group: ProcessGroup, plane: ControlPlane, isKept: boolean): void {
  process.on('exit', () => {
    plane.killCommands();
    group.killAll();
  });
  const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, code] of Object.entries(signals)) {
    if (signal !== 'SIGINT' || !isKept) process.on(signal, () => process.exit(code));
  }
}

/** A sabotaged run is noticed only by the claim that the sabotage breaks, measured and found wrong. */
function endingOf(judged: readonly Judged[], failure: string | null, sabotage: Sabotage | null): number {
  const failed = judged.filter(({ problem }) => problem !== null);
  for (const { claim, problem } of failed) process.stderr.write(`claim failed: ${claim.name}: ${problem}\n`);
  if (sabotage !== null) {
    const expected = failed.find(({ claim }) => claim.name === sabotage.claim);
    const isNoticed = expected !== undefined && expected.problem !== UNMEASURED;
    process.stderr.write(`sabotage ${sabotage.name}: ${isNoticed ? `noticed by ${sabotage.claim}` : `NOT noticed by ${sabotage.claim}`}\n`);
    return isNoticed ? exitCodes.claimFailed : exitCodes.unnoticed;
  }
  return failed.length === 0 && failure === null ? exitCodes.ok : exitCodes.claimFailed;
}

/** @returns null after it said what is wrong with the command line */
function readFlagsOrExplain(): Flags | null {
  try {
    return readFlags(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return null;
  }
}

const flags = readFlagsOrExplain();
process.exitCode = flags === null ? exitCodes.usage : await main(flags);
