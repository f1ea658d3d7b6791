/**
 * `npm run faults -- fuzz [--rounds N] [--seed N]`: mutants of every corpus, N a target (200 unless told).
 * `npm run faults -- hostile [--seconds N]`: slow, broken and flooding clients of a gateway, all at once (30 seconds unless told).
 * `npm run faults -- kill [--rounds N] [--seed N] [--folder DIR] [--database postgres://…]`: kill -9 during issuance, N rounds on each
 * database in all. A folder given again is gone on with, under its seed: `--rounds 50`, then `--rounds 100`, and so on.
 */
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findPostgres, startCluster } from '../support/postgres-cluster.ts';
import { fuzzTargets } from '../fuzz/fuzz-targets.ts';
import { runFuzz } from '../fuzz/run-fuzz.ts';
import { runHostileClients } from './hostile-clients.ts';
import { seedOf } from './kill-progress.ts';
import { runKillRounds } from './kill-rounds.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string' },
    folder: { type: 'string' },
    database: { type: 'string' },
    seconds: { type: 'string', default: '30' },
  },
});
if (!['kill', 'fuzz', 'hostile'].includes(positionals[0] ?? '')) {
  console.error('usage: npm run faults -- fuzz [--rounds N] [--seed N]');
  console.error('       npm run faults -- hostile [--seconds N]');
  console.error('       npm run faults -- kill [--rounds N] [--seed N] [--folder DIR] [--database postgres://…]');
  process.exit(2);
}
if (positionals[0] === 'hostile') {
  console.log(JSON.stringify(await runHostileClients(Number(values.seconds))));
  process.exit(0);
}
const rounds = Number(values.rounds);
if (positionals[0] === 'fuzz') {
  const seed = Number(values.seed ?? Date.now() % 2 ** 31);
  for (const target of fuzzTargets) console.log(JSON.stringify(runFuzz(target, { seed, runs: rounds })));
  process.exit(0);
}
const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'countersign-faults-'));
mkdirSync(folder, { recursive: true });
// PostgreSQL runs under another user when this one is root, and has to reach its own folder in this one.
chmodSync(folder, 0o711);
const seed = Number(values.seed ?? seedOf(join(folder, '0')) ?? Date.now() % 2 ** 31);
console.log(`kill: ${rounds} rounds on each database, seed ${seed}, folder ${folder}`);

const programs = await findPostgres();
const cluster = values.database === undefined && programs !== null ? await startCluster(programs, join(folder, 'postgres')) : null;
const databases = [`sqlite:${join(folder, 'faults.sqlite')}`];
if (values.database !== undefined) databases.push(values.database);
else if (cluster === null) console.log('left out: PostgreSQL, which is not here');
else databases.push(await cluster.createDatabase('faults'));
for (const [at, database] of databases.entries()) {
  const report = await runKillRounds({
    folder: join(folder, String(at)),
    database,
    rounds,
    seed,
    onRound: (round, returned) =>
      round % 20 === 0 && console.log(`${database.split(':')[0]}: round ${round}, ${returned} certificates in it`),
  });
  console.log(JSON.stringify({ database: database.split(':')[0], seed, ...report }));
}
await cluster?.stop();
