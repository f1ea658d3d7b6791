/** `npm run demo`: Acme Cloud goes from plaintext to proven mutual TLS. See flags.ts for the options. */
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { startAcmeCloud, stopAcmeCloud } from './acme-cloud.ts';
import { readFlags } from './flags.ts';
import { paths } from './fleet.ts';
import { countCalls, countImpersonations, measureSteadiness } from './observer/analyse-calls.ts';
import { joinCalls } from './observer/call.ts';
import { readEvents } from './observer/read-records.ts';
import { ProcessGroup } from './process-group.ts';
import { openProgress } from './progress.ts';
import { layOut } from './replica.ts';
import { makeRunDirectory } from './run-directory.ts';

readFlags(process.argv.slice(2));
const root = join(import.meta.dirname, '..');
const progress = openProgress(Date.now());
const directory = makeRunDirectory(join(root, '.demo'), 'run');
await using group = new ProcessGroup(join(directory, 'logs'), { NODE_COMPILE_CACHE: join(root, '.demo', 'compile-cache') });
process.on('exit', () => group.killAll());
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143));

progress.step('Acme Cloud starts, in plaintext, with its observer, its tap and an impostor');
const MEASURE_BEFORE_MS = 4_000;
const cloud = await startAcmeCloud(group, directory, layOut());
await delay(MEASURE_BEFORE_MS);
await stopAcmeCloud(cloud);
const { calls } = joinCalls(readEvents(cloud.files.events));
const own = calls.filter(({ role }) => role === 'service');
const span = { from: own[0]?.begunAt ?? 0, to: own.at(-1)?.begunAt ?? 0 };
const totals = countCalls(calls, []);
const steady = measureSteadiness(calls, paths, span);
const impersonations = countImpersonations(calls, span);
progress.note(`${totals.total} calls, ${totals.failed} failed, ${steady.callsPerSecond.toFixed(0)} a second`);
progress.note(`${impersonations.succeeded} of ${impersonations.attempts} impersonations succeeded`);
for (const step of ['discover', 'apply', 'proxies', 'waves', 'rotation', 'suspension', 'drills', 'audit'])
  console.error(`not yet: ${step}`);
process.exitCode = 2;
