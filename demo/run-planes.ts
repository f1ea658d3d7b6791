/** `npm run demo:planes`: the demo with Envoys, with both kinds in one fleet, and every sabotage on Envoys. Some two minutes each, one after the other. */
import { runDemo } from './run-demo.ts';
import { sabotages } from './sabotage.ts';

/** `broken`: the one claim that has to fail; null: all hold. */
const runs = [
  { args: ['--plane', 'envoy'], broken: null },
  { args: ['--plane', 'mixed'], broken: null },
  ...sabotages.map(({ name, claim }) => ({ args: ['--plane', 'envoy', '--short', `--sabotage=${name}`], broken: claim })),
];

let failed = 0;
for (const { args, broken } of runs) {
  const startedAt = Date.now();
  const { code, result, progress } = await runDemo(args);
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  const claims = (result as { readonly claims: readonly { readonly name: string; readonly holds: boolean }[] } | null)?.claims ?? [];
  const isExpected = broken === null ? code === 0 : claims.find(({ name }) => name === broken)?.holds === false;
  console.log(`${isExpected ? 'as expected' : 'NOT AS EXPECTED'}  ${seconds} s  ${args.join(' ')}`);
  if (isExpected) continue;
  failed += 1;
  console.log(progress);
}
process.exitCode = failed === 0 ? 0 : 1;
