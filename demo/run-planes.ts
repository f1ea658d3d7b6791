/** `npm run demo:planes`: the demo with Envoys, with both kinds in one fleet, and every sabotage on Envoys. Some two minutes each, one after the other. */
import { runDemo } from './run-demo.ts';
import { sabotages } from './sabotage.ts';

const runs = [
  { args: ['--plane', 'envoy'], expected: 0 },
  { args: ['--plane', 'mixed'], expected: 0 },
  ...sabotages.map(({ name }) => ({ args: ['--plane', 'envoy', '--short', `--sabotage=${name}`], expected: 1 })),
];

let failed = 0;
for (const { args, expected } of runs) {
  const startedAt = Date.now();
  const { code, progress } = await runDemo(args);
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  console.log(`${code === expected ? 'as expected' : 'NOT AS EXPECTED'}  ${seconds} s  ${args.join(' ')}`);
  if (code === expected) continue;
  failed += 1;
  console.log(progress);
}
process.exitCode = failed === 0 ? 0 : 1;
