import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MESSAGE_WINDOW_MS, SeenMessages } from './seen-messages.ts';

test('a message is taken once, as long as its time could still be good', () => {
  const seen = new SeenMessages();
  assert.equal(seen.take('a', 0), true);
  assert.equal(seen.take('a', 1), false);
  assert.equal(seen.take('b', 1), true);
  // One from a clock that is a window ahead is good for two of them.
  assert.equal(seen.take('a', 2 * MESSAGE_WINDOW_MS), false);
});

test('what could not be good any more is forgotten, and the memory has an end', () => {
  const seen = new SeenMessages();
  for (let index = 0; index < 1_000; index++) seen.take(`old ${index}`, 0);
  seen.take('new', 2 * MESSAGE_WINDOW_MS + 1);
  assert.equal(seen.size, 1);
  for (let index = 0; index < 200_500; index++) seen.take(`many ${index}`, 2 * MESSAGE_WINDOW_MS + 2);
  assert.ok(seen.size <= 200_000, `${seen.size}`);
  assert.equal(seen.take('many 200499', 2 * MESSAGE_WINDOW_MS + 2), false, 'the oldest goes first');
});
