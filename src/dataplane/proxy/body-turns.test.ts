import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyTurns, MAXIMUM_TURNS } from './body-turns.ts';

test('so many have their turn, the others wait in their order; who leaves twice frees one turn, who leaves waiting frees none', () => {
  const turns = new BodyTurns();
  const begun: number[] = [];
  const leave = Array.from({ length: MAXIMUM_TURNS + 4 }, (_, index) => turns.take(() => begun.push(index)));
  assert.equal(begun.length, MAXIMUM_TURNS);
  leave[MAXIMUM_TURNS]!();
  leave[MAXIMUM_TURNS]!();
  assert.equal(begun.length, MAXIMUM_TURNS);
  leave[0]!();
  leave[0]!();
  assert.deepEqual(begun.slice(MAXIMUM_TURNS), [MAXIMUM_TURNS + 1]);
  for (const end of leave) end();
  assert.equal(begun.length, MAXIMUM_TURNS + 1 + 2);
  for (let index = 0; index < MAXIMUM_TURNS + 1; index++) turns.take(() => begun.push(index));
  assert.equal(begun.length, 2 * MAXIMUM_TURNS + 3);
});
