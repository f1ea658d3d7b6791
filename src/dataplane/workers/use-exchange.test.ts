import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharedUse } from '../tls/shared-use.ts';
import { UseExchange } from './use-exchange.ts';

const use = (calls: Record<string, number>, open: number): SharedUse => ({
  calls: new Map(Object.keys(calls).length === 0 ? [] : [['endpoint_1', new Map(Object.entries(calls))]]),
  open: new Map([['endpoint_1', open]]),
});

/** What a worker is told: calls by caller, and connections. */
function told(messages: ReadonlyMap<string, SharedUse>, worker: string): [Record<string, number>, number] | null {
  const message = messages.get(worker);
  if (message === undefined) return null;
  return [Object.fromEntries(message.calls.get('endpoint_1') ?? []), message.open.get('endpoint_1') ?? 0];
}

test('each hears what the others used, added up, and never its own', () => {
  const exchange = new UseExchange<string>();
  exchange.hear('one', use({ a: 2 }, 1));
  exchange.hear('one', use({ a: 1, b: 1 }, 3));
  exchange.hear('two', use({ a: 4 }, 5));
  const messages = exchange.turn(['one', 'two', 'three']);
  assert.deepEqual(told(messages, 'one'), [{ a: 4 }, 5]);
  assert.deepEqual(told(messages, 'two'), [{ a: 3, b: 1 }, 3]);
  assert.deepEqual(told(messages, 'three'), [{ a: 7, b: 1 }, 8]);
});

test('what is not new is not said again', () => {
  const exchange = new UseExchange<string>();
  exchange.hear('one', use({ a: 2 }, 1));
  exchange.turn(['one', 'two']);
  assert.equal(exchange.turn(['one', 'two']).size, 0);
  exchange.hear('one', use({}, 2));
  const messages = exchange.turn(['one', 'two']);
  assert.deepEqual(told(messages, 'two'), [{}, 2]);
  assert.equal(told(messages, 'one'), null);
});

test('who ended has nothing open any more, and what it let through counts on', () => {
  const exchange = new UseExchange<string>();
  exchange.hear('one', use({ a: 2 }, 6));
  exchange.turn(['one', 'two']);
  exchange.hear('one', use({ a: 3 }, 7));
  exchange.forget('one');
  assert.deepEqual(told(exchange.turn(['two']), 'two'), [{ a: 3 }, 0]);
  assert.equal(exchange.turn(['two']).size, 0);
  exchange.forget('never heard of');
});

test('who begins is told what is open elsewhere', () => {
  const exchange = new UseExchange<string>();
  exchange.hear('one', use({ a: 2 }, 6));
  exchange.turn(['one']);
  assert.deepEqual(told(exchange.turn(['one', 'two']), 'two'), [{}, 6]);
});
