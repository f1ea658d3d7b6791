import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attacks } from './attacks.ts';
import { runHostileClients } from './hostile-clients.ts';

test('slow, broken and flooding clients get nothing, cost bounded memory, and others are served', async (context) => {
  const report = await runHostileClients(8);
  context.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.failed, []);
  assert.ok(report.good > 10, `${report.good} good calls`);
  assert.equal(report.smuggled, 0);
  for (const { name, isCutOff } of attacks) if (isCutOff) assert.ok(report.cutOff[name]! > 0, `${name} was never cut off`);
  const { before, peak } = report.residentMb;
  assert.ok(peak < before + 300, `${peak} MB after ${before}`);
});
