import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDemo } from './run-demo.ts';
import { findSabotage } from './sabotage.ts';
import { missingEnvoy } from './start-envoy.ts';

const skip = process.env['CI'] === 'true' ? false : (missingEnvoy() ?? 'two minutes each; CI runs them');
/** How fast the machine is belongs to measuring, not to testing. */
const TIMING_CLAIMS: ReadonlySet<string> = new Set(['in-time', 'rollback-in-time']);

type Result = { readonly claims: readonly { readonly name: string; readonly holds: boolean }[]; readonly failure: string | null };

test('Acme Cloud goes from plaintext to proven mutual TLS with Envoys for sidecars', { skip, timeout: 400_000 }, async () => {
  const { result, progress } = await runDemo(['--plane', 'envoy']);
  assert.ok(result !== null, progress);
  const { claims, failure } = result as Result;
  assert.equal(failure, null, progress);
  assert.deepEqual(
    claims.filter(({ name, holds }) => !holds && !TIMING_CLAIMS.has(name)),
    [],
    progress,
  );
});

test('the demo notices when Envoys let in whoever has a certificate', { skip, timeout: 400_000 }, async () => {
  const { name, claim } = findSabotage('accept-any-client');
  const { result, progress } = await runDemo(['--plane', 'envoy', '--short', `--sabotage=${name}`]);
  assert.equal((result as Result).claims.find((judged) => judged.name === claim)?.holds, false, progress);
});
