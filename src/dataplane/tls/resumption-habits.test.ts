import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResumptionHabits } from './resumption-habits.ts';

const shakeInFull = (habits: ResumptionHabits, address: string, times: number): boolean[] =>
  Array.from({ length: times }, () => habits.wantsTickets(address, false));

test('where nobody ever offers a ticket none is given after a while', () => {
  const given = shakeInFull(new ResumptionHabits(), '10.0.0.1', 70);
  assert.deepEqual([given.indexOf(false), given.lastIndexOf(true)], [64, 63]);
});

test('one caller that offers a ticket has all at its address given tickets from then on', () => {
  const habits = new ResumptionHabits();
  shakeInFull(habits, '10.0.0.1', 100);
  assert.equal(habits.wantsTickets('10.0.0.1', true), true);
  assert.ok(shakeInFull(habits, '10.0.0.1', 1_000).every(Boolean));
});

test('one address’s habit is no other’s', () => {
  const habits = new ResumptionHabits();
  shakeInFull(habits, '10.0.0.1', 100);
  assert.equal(habits.wantsTickets('10.0.0.2', false), true);
});

test('many addresses push the oldest out, which then gets tickets again', () => {
  const habits = new ResumptionHabits();
  shakeInFull(habits, 'old', 100);
  for (let address = 0; address < 10_000; address++) habits.wantsTickets(`10.${address}`, false);
  assert.equal(habits.wantsTickets('old', false), true);
});
