import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MINUTE_MS } from '../../core/time/instant.ts';
import type { Identity } from '../data-plane/peer.ts';
import { type DeliveredKey, HeldIdentitySecret, type KeyDelivery } from './held-identity-secret.ts';

const key = (serialHex: string): DeliveredKey => ({ serialHex, chainPem: '', keyPem: '', notBefore: 0, notAfter: MINUTE_MS });
const held = (deliver: KeyDelivery['deliver'], changed: () => void = () => {}) =>
  new HeldIdentitySecret(
    {} as Identity,
    { deliver, replacedAfterMs: 1, clock: { now: () => 0 } as KeyDelivery['clock'], log: () => {} },
    changed,
  );

test('a stream that ended while its key was made has no other made after it', async () => {
  const first = Promise.withResolvers<DeliveredKey>();
  let made = 0;
  const gone = held(() => {
    made += 1;
    return first.promise;
  });
  const reading = gone.read();
  gone[Symbol.dispose]();
  first.resolve(key('01'));
  await reading;
  // One whose stream is open, begun after the other: when its key was replaced, the time of the other's has come too.
  const replaced = Promise.withResolvers<void>();
  let serial = 0;
  const open = held(async () => key(String(++serial)), replaced.resolve);
  const alive = setInterval(() => {}, MINUTE_MS);
  try {
    assert.equal((await open.read())!.serialHex, '1');
    await replaced.promise;
    assert.equal((await open.read())!.serialHex, '2');
  } finally {
    open[Symbol.dispose]();
    clearInterval(alive);
  }
  assert.equal(made, 1);
});
