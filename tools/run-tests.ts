/**
 * `npm test [-- PATTERN …]`: unit tests in one process, then integration tests one process each.
 * With CI=true peers are installed first and a missing one fails; elsewhere the exams left out are named at the end.
 */
import { spawn } from 'node:child_process';
import { chmodSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { slowestFiles } from './slowest-files.ts';
import { findPostgres, startCluster } from '../test/support/postgres-cluster.ts';

const root = join(import.meta.dirname, '..');
const inCi = process.env['CI'] === 'true';
const scratch = mkdtempSync(join(tmpdir(), 'countersign-tests-'));
/** Where tests make their temporary folders: whatever one of them leaves behind goes with it. */
const temporary = join(scratch, 't');
mkdirSync(temporary);
// PostgreSQL runs under another user when this one is root, and has to reach its own folder.
for (const folder of [scratch, temporary]) chmodSync(folder, 0o711);
const skippedFiles: string[] = [];

function runNode(args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TMPDIR: temporary },
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code === 0));
  });
}

async function runSuite(name: string, files: readonly string[], options: readonly string[]): Promise<boolean> {
  if (files.length === 0) return true;
  const skipped = join(scratch, `${name}.skipped`);
  skippedFiles.push(skipped);
  console.log(`\n${name}: ${files.length} files`);
  return runNode([
    '--test',
    `--test-reporter=${process.stdout.isTTY ? 'spec' : 'dot'}`,
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${join(scratch, `${name}.tap`)}`,
    `--test-reporter=${join(root, 'tools/skipped-reporter.ts')}`,
    `--test-reporter-destination=${skipped}`,
    `--test-reporter=${join(root, 'tools/file-times-reporter.ts')}`,
    `--test-reporter-destination=${join(scratch, `${name}.times`)}`,
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
const cluster = programs === null ? null : await startCluster(programs);
if (cluster !== null) process.env['COUNTERSIGN_TEST_CLUSTER'] = cluster.url;
const unit = all.filter((file) => !isIntegration(file) && !isJourney(file));
green = (await runSuite('unit', unit, ['--test-isolation=none', '--test-timeout=120000'])) && green;
green = (await runSuite('integration', all.filter(isIntegration), ['--test-concurrency=2', '--test-timeout=300000'])) && green;
// A journey loads the whole machine, so journeys run one after another and alone.
green = (await runSuite('journeys', all.filter(isJourney), ['--test-concurrency=1', '--test-timeout=600000'])) && green;
await cluster?.stop();

const skipped = skippedFiles.flatMap((file) => readFileSync(file, 'utf8').split('\n').filter(Boolean));
if (!green) for (const file of globSync(join(scratch, '*.tap'))) process.stdout.write(failuresOf(readFileSync(file, 'utf8')));
console.log(`\n${skipped.length === 0 ? 'no exam left out' : `left out: ${skipped.length} exams`}`);
for (const name of skipped) console.log(`  - ${name}`);
if (inCi && skipped.length > 0) {
  console.error('with CI=true nothing may be left out');
  green = false;
}
const times = globSync(join(scratch, '*.times')).map((file) => readFileSync(file, 'utf8'));
if (chosen.length === 0) console.log(`slowest files:\n  ${slowestFiles(times, root, SHOWN_FILES).join('\n  ')}`);
console.log(`seconds: ${Math.round((performance.now() - startedAt) / 1000)}`);
console.log(
  `${readCounts('pass')} passed, ${readCounts('fail') + (green || readCounts('fail') > 0 ? 0 : 1)} failed, ${skipped.length} skipped`,
);
rmSync(scratch, { recursive: true, force: true });
process.exitCode = green ? 0 : 1;

/** The parts of a TAP report that tell of failures, for a reader who sees only dots. */
function failuresOf(tap: string): string {
  const lines = tap.split('\n');
  const shown = lines.flatMap((line, at) => (/^\s*not ok /.test(line) ? lines.slice(at, at + 25) : []));
  return `${shown.join('\n')}\n`;
}
