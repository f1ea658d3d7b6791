import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDemo } from './run-demo.ts';
import { sabotages } from './sabotage.ts';

const skip = process.env['CI'] === 'true' ? false : 'a minute each; CI runs them all';

for (const { name, claim, cuts } of sabotages) {
  test(`the demo notices when ${cuts} (${name})`, { skip, timeout: 240_000 }, async () => {
    const { code, result, progress } = await runDemo(['--short', `--sabotage=${name}`]);
    assert.equal(code, 1, progress);
    const { claims } = result as { readonly claims: readonly { readonly name: string; readonly holds: boolean }[] };
    assert.equal(claims.find((judged) => judged.name === claim)?.holds, false, progress);
  });
}
