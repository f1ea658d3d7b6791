import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResumptionHabits } from './resumption-habits.ts';

test('who never offers a ticket gets none after a while, and gets them again as soon as it offers one', () => {
  const habits = new ResumptionHabits();
  const handshakes = Array.from({ length: 20 }, () => habits.wantsTickets('10.0.0.1', false));
  assert.deepEqual([handshakes.indexOf(false), handshakes.lastIndexOf(true)], [16, 15]);
  assert.equal(habits.wantsTickets('10.0.0.1', true), true);
  assert.equal(habits.wantsTickets('10.0.0.1', false), true);
});

test('one caller’s habit is no other’s', () => {
  const habits = new ResumptionHabits();
  for (let handshakes = 0; handshakes < 20; handshakes++) habits.wantsTickets('10.0.0.1', false);
  assert.equal(habits.wantsTickets('10.0.0.2', false), true);
});

test('many addresses push the oldest out, which then gets tickets again', () => {
  const habits = new ResumptionHabits();
  for (let handshakes = 0; handshakes < 20; handshakes++) habits.wantsTickets('old', false);
  for (let address = 0; address < 10_000; address++) habits.wantsTickets(`10.${address}`, false);
  assert.equal(habits.wantsTickets('old', false), true);
});
