import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultRolloutConfig, parseRolloutConfig } from './rollout-config.ts';

test('parseRolloutConfig() keeps what is left out', () => {
  assert.deepEqual(parseRolloutConfig({}), defaultRolloutConfig);
  const base = parseRolloutConfig({ soakMs: 5_000, unattributed: 'refuse' });
  assert.deepEqual(parseRolloutConfig({ minCalls: 3 }, base), { ...base, minCalls: 3 });
});

test('parseRolloutConfig() reads what stringify wrote', () => {
  const config = parseRolloutConfig({ unwanted: [{ endpointId: 'endpoint_1', caller: 'spiffe://acme/prod/x', reason: 'old' }] });
  assert.deepEqual(parseRolloutConfig(JSON.parse(JSON.stringify(config))), config);
});

for (const [what, input] of Object.entries<unknown>({
  'no object': null,
  'a list': [],
  'an unknown key': { soak: 5 },
  'a soak of zero': { soakMs: 0 },
  'a soak that is no number': { soakMs: '10' },
  'a fraction of a millisecond': { soakMs: 1000.5 },
  'no number': { minCalls: Number.NaN },
  'zero calls': { minCalls: 0 },
  'a share above one': { maxFailureRate: 1.1 },
  'a negative share': { maxFailureRate: -0.1 },
  'an unknown word': { unattributed: 'accept' },
  'unwanted callers without reason': { unwanted: [{ endpointId: 'endpoint_1', caller: 'x' }] },
  'unwanted callers that are no list': { unwanted: {} },
  'too many unwanted callers': { unwanted: Array.from({ length: 1_001 }, () => ({ endpointId: 'e', caller: 'c', reason: 'r' })) },
  'a key of the prototype': JSON.parse('{"__proto__": {"soakMs": 1}}'),
})) {
  test(`parseRolloutConfig() refuses ${what}`, () => {
    assert.throws(() => parseRolloutConfig(input), { code: 'input-invalid' });
  });
}
