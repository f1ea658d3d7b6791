/** `npm run bench -- AXIS [--json] [--repeats N]`: contenders interleaved in one run, medians, CPU time next to wall time. */
import { parseArgs } from 'node:util';
import { formatTable } from '../src/cli/output.ts';
import { axes } from './axes.ts';
import { type Measurement, summarize } from './measurement.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, repeats: { type: 'string', default: '3' } },
});
const axis = axes.find(({ name }) => name === positionals[0]);
const repeats = Number(values.repeats);
if (axis === undefined || !Number.isInteger(repeats) || repeats < 3) {
  console.error(
    `usage: npm run bench -- AXIS [--json] [--repeats N], N at least 3\naxes:\n${axes.map(({ name, meaning }) => `  ${name}: ${meaning}`).join('\n')}`,
  );
  process.exit(2);
}

const text = (value: number): string => value.toFixed(value < 10 ? 2 : 1);

const contenders = await axis.contenders();
for (const contender of contenders) {
  const absent = contender.absent();
  if (absent !== null) console.error(`${contender.name} takes no part: ${absent}`);
}
const present = contenders.filter((contender) => contender.absent() === null);
const measurements: Measurement[] = [];
try {
  for (let round = 1; round <= repeats; round++) {
    for (const contender of present) {
      console.error(`round ${round} of ${repeats}: ${contender.name}`);
      for (const figure of await contender.measure()) measurements.push({ contender: contender.name, ...figure });
    }
  }
} finally {
  for (const contender of present) await contender.close?.();
}
const rows = summarize(measurements);
if (values.json) {
  console.log(JSON.stringify({ axis: axis.name, rows }));
} else {
  const lines = rows.map((row) => [
    row.contender,
    row.metric,
    text(row.value),
    row.unit,
    `${text(row.min)} to ${text(row.max)}`,
    String(row.runs),
  ]);
  console.log(formatTable([['contender', 'metric', 'median', 'unit', 'spread', 'runs'], ...lines]).join('\n'));
}
