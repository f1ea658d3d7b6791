import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runDemo } from './run-demo.ts';
import { sabotages } from './sabotage.ts';

const skip = process.env['CI'] === 'true' ? false : 'half a minute each; CI runs them all';

type Claim = { readonly name: string; readonly holds: boolean };

// A run waits about as long as it works, so two of them share the machine.
describe('the short form of the demo', { concurrency: 2 }, () => {
  test('holds every claim that a sabotage breaks, when nothing is cut out', { skip, timeout: 240_000 }, async () => {
    const { result, progress } = await runDemo(['--short']);
    const { claims, failure } = result as { readonly claims: readonly Claim[]; readonly failure: string | null };
    assert.equal(failure, null, progress);
    for (const { claim } of sabotages) assert.equal(claims.find(({ name }) => name === claim)?.holds, true, progress);
  });

  for (const { name, claim, cuts } of sabotages) {
    test(`notices when ${cuts} (${name})`, { skip, timeout: 240_000 }, async () => {
      const { code, result, progress } = await runDemo(['--short', `--sabotage=${name}`]);
      assert.equal(code, 1, progress);
      const { claims } = result as { readonly claims: readonly Claim[] };
      assert.equal(claims.find((judged) => judged.name === claim)?.holds, false, progress);
    });
  }
});
