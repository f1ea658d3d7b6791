import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzTargets } from './fuzz-targets.ts';
import { makeRandom } from './random.ts';
import { runFuzz } from './run-fuzz.ts';

/** The suite's part is the same every time; `npm run faults -- fuzz` goes on from other seeds. */
const SEED = 20_260_101;
const RUNS = 1_500;

for (const target of fuzzTargets) {
  test(`${target.name}: no mutant of the corpus makes it fail in any way but a refusal`, () => {
    const { accepted } = runFuzz(target, { seed: SEED, runs: RUNS });
    assert.ok(accepted > 0, 'nothing of the corpus is accepted, so nothing behind the first check is examined');
    assert.ok(accepted < RUNS / 2, 'mutants that are accepted examine nothing');
  });
}

test('a seed gives the same numbers again, another one others', () => {
  assert.deepEqual(numbers(7), numbers(7));
  assert.notDeepEqual(numbers(7), numbers(8));
});

test('a finding names target, seed, run and input', () => {
  const target = { name: 'weak', corpus: [Buffer.from('a')], mutate: () => Buffer.from('bad'), examine: explode };
  assert.throws(() => runFuzz(target, { seed: 3, runs: 1 }), /fuzz weak: seed 3, run 0, 3 octets: 626164/);
});

function explode(input: Uint8Array): 'accepted' {
  if (input.length === 3) throw new TypeError('boom');
  return 'accepted';
}

function numbers(seed: number): number[] {
  const random = makeRandom(seed);
  return Array.from({ length: 20 }, () => random.below(1_000));
}
