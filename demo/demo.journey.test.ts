import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDemo } from './run-demo.ts';

test('Acme Cloud goes from plaintext to proven mutual TLS, and every claim holds', { timeout: 300_000 }, async () => {
  const { code, result, progress } = await runDemo([]);
  assert.equal(code, 0, progress);
  const { claims, calls } = result as {
    readonly claims: readonly { readonly holds: boolean }[];
    readonly calls: { readonly failed: number };
  };
  assert.ok(claims.length > 0 && claims.every(({ holds }) => holds), progress);
  assert.equal(calls.failed, 0);
});
