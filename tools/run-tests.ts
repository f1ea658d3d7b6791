/**
 * `npm test [-- PATTERN …]`: unit tests in one process, then integration tests one process each.
 * With CI=true peers are installed first and a missing one fails; elsewhere the exams left out are named at the end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { slowestFiles } from './slowest-files.ts';
import { memoryFolder } from '../test/support/memory-folder.ts';
import { findPostgres, startCluster } from '../test/support/postgres-cluster.ts';

const root = join(import.meta.dirname, '..');
const inCi = process.env['CI'] === 'true';
const scratch = mkdtempSync(join(tmpdir(), 'countersign-tests-'));
/** Where tests make their temporary folders: whatever one of them leaves behind goes with it. */
const temporary = join(scratch, 't');
mkdirSync(temporary);
/** Where their databases lie. */
const memory = mkdtempSync(join(memoryFolder(), 'countersign-tests-'));
// PostgreSQL runs under another user when this one is root, and has to reach its own folder.
for (const folder of [scratch, temporary, memory]) chmodSync(folder, 0o711);
process.once('exit', () => {
  for (const folder of [scratch, memory]) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});
/** What runs now. */
let running: ChildProcess | null = null;
let isEnded = false;
// Nothing more is started, and what was is awaited: folders are removed when nobody writes into them any more. A terminal and `npm` may both send it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    isEnded = true;
    running?.kill();
  });
}

function runNode(args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TMPDIR: temporary },
  });
  running = child;
  process.once('exit', () => child.kill());
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code === 0));
  });
}

async function runSuite(name: string, files: readonly string[], options: readonly string[]): Promise<boolean> {
  if (files.length === 0) return true;
  if (isEnded) return false;
  console.log(`\n${name}: ${files.length} files`);
  return runNode([
    '--test',
    `--test-reporter=${process.stdout.isTTY ? 'spec' : 'dot'}`,
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${join(scratch, `${name}.tap`)}`,
    `--test-reporter=${join(root, 'tools/endings-reporter.ts')}`,
    `--test-reporter-destination=${join(scratch, `${name}.endings`)}`,
    ...options,
    ...files,
  ]);
}

/** The counts that node:test closes its TAP report with, over all suites. */
function readCounts(name: string): number {
  return globSync(join(scratch, '*.tap'))
    .map((file) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? 0))
    .reduce((sum, count) => sum + count, 0);
}

const chosen = process.argv.slice(2);
const all = globSync(['src/**/*.test.ts', 'test/**/*.test.ts', 'demo/**/*.test.ts', 'tools/**/*.test.ts', 'bench/**/*.test.ts'], {
  cwd: root,
})
  .filter((file) => chosen.length === 0 || chosen.some((pattern) => file.includes(pattern)))
  .toSorted();
const isIntegration = (file: string): boolean => file.endsWith('.integration.test.ts');
const isJourney = (file: string): boolean => file.endsWith('.journey.test.ts');
const startedAt = performance.now();
/** Where a minute can be found, should the suite grow too long. */
const SHOWN_FILES = 15;

let green = !inCi || (await runNode([join(root, 'tools/install-peers.ts')]));
// One PostgreSQL for the whole run: to make and start one takes seconds, a database in it a moment.
const programs = all.some((file) => readFileSync(join(root, file), 'utf8').includes('forEachDatabase')) ? await findPostgres() : null;
process.env['TMPDIR'] = temporary;
process.env['COUNTERSIGN_TEST_MEMORY'] = memory;
// Hundreds of processes start in a run: what Node compiled for one is there for the others.
const compiled = getCompileCacheDir();
if (compiled !== undefined) process.env['NODE_COMPILE_CACHE'] ??= dirname(compiled);
const cluster = programs === null ? null : await startCluster(programs);
if (cluster !== null) process.env['COUNTERSIGN_TEST_CLUSTER'] = cluster.url;
const unit = all.filter((file) => !isIntegration(file) && !isJourney(file));
green = (await runSuite('unit', unit, ['--test-isolation=none', '--test-timeout=120000'])) && green;
// Most of them wait more than they work: measured, one alone uses half a core.
green = (await runSuite('integration', all.filter(isIntegration), ['--test-concurrency=4', '--test-timeout=300000'])) && green;
// Pages are read at a reader's pace: beside each other they fill the machine. The demo loads all of it, so it runs alone.
const isDemo = (file: string): boolean => file.startsWith('demo/');
const journeys = all.filter(isJourney);
green =
  (await runSuite(
    'journeys',
    journeys.filter((file) => !isDemo(file)),
    ['--test-concurrency=3', '--test-timeout=600000'],
  )) && green;
green = (await runSuite('demo', journeys.filter(isDemo), ['--test-concurrency=1', '--test-timeout=600000'])) && green;
await cluster?.stop();

const endings = globSync(join(scratch, '*.endings')).map((file) => readFileSync(file, 'utf8'));
const skipped = endings.flatMap((text) => text.split('\n').flatMap((line) => line.split('\t')[3] || []));
if (!green) for (const file of globSync(join(scratch, '*.tap'))) process.stdout.write(failuresOf(readFileSync(file, 'utf8')));
console.log(`\n${skipped.length === 0 ? 'no exam left out' : `left out: ${skipped.length} exams`}`);
for (const name of skipped) console.log(`  - ${name}`);
if (inCi && skipped.length > 0) {
  console.error('with CI=true nothing may be left out');
  green = false;
}
if (chosen.length === 0) console.log(`slowest files:\n  ${slowestFiles(endings, root, SHOWN_FILES).join('\n  ')}`);
console.log(`seconds: ${Math.round((performance.now() - startedAt) / 1000)}`);
console.log(
  `${readCounts('pass')} passed, ${readCounts('fail') + (green || readCounts('fail') > 0 ? 0 : 1)} failed, ${skipped.length} skipped`,
);
process.exitCode = green ? 0 : 1;

/** The parts of a TAP report that tell of failures, for a reader who sees only dots. */
function failuresOf(tap: string): string {
  const lines = tap.split('\n');
  const shown = lines.flatMap((line, at) => (/^\s*not ok /.test(line) ? lines.slice(at, at + 25) : []));
  return `${shown.join('\n')}\n`;
}
