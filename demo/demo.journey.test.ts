import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDemo } from './run-demo.ts';

/** How fast the machine is belongs to measuring, not to testing; every other claim must hold. */
const TIMING_CLAIM = 'in-time';

test('Acme Cloud goes from plaintext to proven mutual TLS, and every claim holds', { timeout: 300_000 }, async () => {
  const { result, progress } = await runDemo([]);
  assert.ok(result !== null, progress);
  const { claims, calls, failure } = result as {
    readonly claims: readonly { readonly name: string; readonly holds: boolean }[];
    readonly calls: { readonly failed: number };
    readonly failure: string | null;
  };
  const broken = claims.filter(({ name, holds }) => !holds && name !== TIMING_CLAIM);
  assert.equal(failure, null, progress);
  assert.ok(claims.length > 1 && broken.length === 0, progress);
  assert.equal(calls.failed, 0);
});
