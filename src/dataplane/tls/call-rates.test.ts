import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { CallRateSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { CallRates } from './call-rates.ts';

const rate = (perSecond: number, burst: number) => create(CallRateSchema, { perSecond, burst });

function taken(rates: CallRates, caller: string, { at, asked }: { readonly at: number; readonly asked: number }): number {
  return Array.from({ length: asked }, () => rates.takes(caller, at)).filter(Boolean).length;
}

test('a caller may make a burst at once, and from then on so many a second, never more than a burst after a rest', () => {
  const rates = new CallRates(rate(10, 5), null);
  assert.equal(taken(rates, 'a', { at: 0, asked: 20 }), 5);
  assert.equal(taken(rates, 'a', { at: 99, asked: 20 }), 0);
  assert.equal(taken(rates, 'a', { at: 300, asked: 20 }), 3);
  assert.equal(taken(rates, 'a', { at: 3_600_000, asked: 20 }), 5);
});

test('one caller takes nothing from another, and all of them together keep the rate of the endpoint', () => {
  const rates = new CallRates(rate(1, 4), rate(1, 6));
  assert.equal(taken(rates, 'a', { at: 0, asked: 10 }), 4);
  assert.equal(taken(rates, 'b', { at: 0, asked: 10 }), 2);
  assert.equal(taken(rates, 'c', { at: 0, asked: 10 }), 0);
  // What the endpoint refused is not taken from the caller.
  assert.equal(taken(rates, 'c', { at: 4_000, asked: 10 }), 4);
});

test('a rate of nothing is refused', () => {
  for (const bad of [rate(0, 1), rate(1, 0)]) {
    assert.throws(() => new CallRates(bad, null), { code: 'input-invalid' });
    assert.throws(() => new CallRates(null, bad), { code: 'input-invalid' });
  }
});

test('what others took is owed here, by the caller and by the endpoint, and a rate holds over time', () => {
  const [here, there] = [new CallRates(rate(10, 5), rate(10, 8)), new CallRates(rate(10, 5), rate(10, 8))];
  for (const rates of [here, there]) rates.share();
  assert.equal(taken(here, 'a', { at: 0, asked: 9 }), 5);
  // Before they know of each other a burst may be taken at each.
  assert.equal(taken(there, 'a', { at: 0, asked: 9 }), 5);
  const [ours, theirs] = [here.takeSpent(), there.takeSpent()];
  assert.deepEqual([...ours], [['a', 5]]);
  here.spend(theirs, 0);
  there.spend(ours, 0);
  assert.equal(taken(here, 'a', { at: 500, asked: 9 }), 0);
  assert.equal(taken(there, 'b', { at: 199, asked: 9 }), 0);
  assert.equal(taken(here, 'a', { at: 700, asked: 9 }), 2);
  // What is told once is told.
  assert.deepEqual([...here.takeSpent()], [['a', 2]]);
  assert.deepEqual([...here.takeSpent()], []);
});

test('rates that nobody shares note nothing', () => {
  const rates = new CallRates(rate(10, 5), null);
  taken(rates, 'a', { at: 0, asked: 5 });
  assert.equal(rates.takeSpent().size, 0);
});
