import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { StagedEntry } from '../../control/audit/entry.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import type { Rate } from './gcra.ts';
import { allowancesOf, takeOrder } from './limits.ts';

const now = 1_800_000_000_000;
const generous = { burst: 1_000, periodMs: 1_000 };

forEachDatabase('allowances of two servers', (newUrl) => {
  async function openTwo(rate: Rate) {
    const url = await newUrl();
    const stack = new AsyncDisposableStack();
    const databases = [stack.use(await openDatabase<StagedEntry>({ url })), stack.use(await openDatabase<StagedEntry>({ url }))];
    const limits = { accountsPerAddress: rate, ordersPerAccount: rate, ordersPerName: generous };
    const take = (at: number, accountId: string) =>
      databases[at]!.commit((unit) => takeOrder(unit, limits, { accountId, names: ['a.example'] }, now), [allowancesOf(accountId)]);
    return { take, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  test('are taken by accounts in any order without one server standing in the way of the other', async () => {
    await using two = await openTwo(generous);
    const accounts = ['a', 'b', 'c', 'd'];
    for (let round = 0; round < 4; round++) {
      const taken = [accounts, accounts.toReversed()].flatMap((order, at) => [...order, ...order].map((account) => two.take(at, account)));
      const failed = (await Promise.allSettled(taken)).filter(({ status }) => status === 'rejected');
      assert.deepEqual(failed, []);
    }
  });

  test('are one allowance: of what is left no server takes what the other took', async () => {
    await using two = await openTwo({ burst: 10, periodMs: 3_600_000 });
    const outcomes = await Promise.allSettled(Array.from({ length: 40 }, (_none, at) => two.take(at % 2, 'a')));
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 10);
  });
});
