import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openStateDirectory } from '../../platform/keystore/state-directory.ts';
import { openSeenKeys } from './seen-keys-keeper.ts';

const folder = await mkdtemp(join(tmpdir(), 'countersign-seen-'));
after(() => rm(folder, { recursive: true }));

test('the next process knows what the one before saw last, of each endpoint', async () => {
  const state = await openStateDirectory(join(folder, 'state'));
  const first = await openSeenKeys(state, () => {});
  assert.equal(first.known.size, 0);
  first.onNews('a', new Set(['11'.repeat(32)]));
  first.onNews('b', new Set(['22'.repeat(32)]));
  first.onNews('a', new Set(['33'.repeat(32), '44'.repeat(32)]));
  await first.stop();
  const next = await openSeenKeys(state, () => {});
  assert.deepEqual(Object.fromEntries(next.known), { b: new Set(['22'.repeat(32)]), a: new Set(['33'.repeat(32), '44'.repeat(32)]) });
  await next.stop();
});

test('what is called no more goes first when there is too much', async () => {
  const state = await openStateDirectory(join(folder, 'full'));
  await state.writeSeenKeys(new Map(Array.from({ length: 2_000 }, (_, index) => [`endpoint_${index}`, new Set(['11'.repeat(32)])])));
  const keeper = await openSeenKeys(state, () => {});
  keeper.onNews('another', new Set(['22'.repeat(32)]));
  await keeper.stop();
  const read = (await state.readSeenKeys())!;
  assert.equal(read.size, 2_000);
  assert.ok(read.has('another') && read.has('endpoint_1') && !read.has('endpoint_0'));
});

test('servers that take turns at one address do not make a write of each connection, and what was seen last is kept', async () => {
  const state = await openStateDirectory(join(folder, 'turns'));
  let writes = 0;
  const keeper = await openSeenKeys(
    {
      readSeenKeys: () => state.readSeenKeys(),
      writeSeenKeys(seen) {
        writes += 1;
        return state.writeSeenKeys(seen);
      },
    },
    () => {},
  );
  for (let turn = 0; turn < 100; turn++) keeper.onNews('a', new Set([(turn % 2 === 0 ? '11' : '22').repeat(32)]));
  await new Promise(setImmediate);
  keeper.onNews('a', new Set(['33'.repeat(32)]));
  await keeper.stop();
  assert.deepEqual(await state.readSeenKeys(), new Map([['a', new Set(['33'.repeat(32)])]]));
  assert.ok(writes <= 2, `${writes} writes`);
});
