import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { decodeBase64url } from './base64url.ts';
import { Nonces } from './nonces.ts';
import { UsedNonces } from './used-nonces.ts';

const now = 1_800_000_000_000;
const secret = new Secret<Uint8Array>(Buffer.alloc(32, 7));

test('a nonce is good once, in the process that made it, in a replica, and after a restart', () => {
  const [first, replica] = [new Nonces(secret), new Nonces(secret)];
  const mine = first.issue(now);
  assert.equal(first.redeem(mine, now), 'good');
  assert.equal(first.redeem(mine, now), 'bad');
  const carried = first.issue(now);
  assert.equal(replica.redeem(carried, now), 'good');
  assert.equal(replica.redeem(carried, now), 'bad');
});

test('a nonce is refused when it is old, from the future, altered or of another secret', () => {
  const nonces = new Nonces(secret);
  assert.equal(nonces.redeem(nonces.issue(now), now + HOUR_MS + 1_000), 'bad', 'old');
  assert.equal(nonces.redeem(nonces.issue(now + HOUR_MS), now), 'bad', 'from the future');
  assert.equal(nonces.redeem(new Nonces(new Secret<Uint8Array>(Buffer.alloc(32, 8))).issue(now), now), 'bad', 'another secret');
  const good = Buffer.from(nonces.issue(now), 'base64url');
  for (let at = 0; at < good.length; at++) {
    const altered = Buffer.from(good);
    altered[at]! ^= 1;
    assert.equal(nonces.redeem(altered.toString('base64url'), now), 'bad', `octet ${at}`);
  }
  assert.equal(nonces.redeem(good.toString('base64url'), now), 'good', 'the forgeries did not use it up');
});

test('a nonce that was forgotten since is opened, and good once all the same', () => {
  const nonces = new Nonces(secret);
  const first = nonces.issue(now);
  const second = nonces.issue(now);
  assert.equal(nonces.redeem(first, now), 'good');
  for (let at = 0; at < 16_384; at++) nonces.issue(now);
  assert.equal(nonces.redeem(first, now), 'bad', 'used while it was remembered');
  assert.equal(nonces.redeem(second, now), 'good', 'forgotten');
  assert.equal(nonces.redeem(second, now), 'bad');
});

test('what is remembered ages as what is opened: no nonce outlives its hour, and an old one is not used up by being refused', () => {
  const nonces = new Nonces(secret);
  const nonce = nonces.issue(now);
  assert.equal(nonces.redeem(nonce, now + HOUR_MS + 1_000), 'bad');
  assert.equal(nonces.redeem(nonce, now + HOUR_MS - 1_000), 'good', 'a clock that was set back finds it as it was');
  assert.equal(nonces.redeem(nonce, now), 'bad');
});

test('what no nonce looks like is malformed, not bad', () => {
  const nonces = new Nonces(secret);
  for (const text of ['', ' ', 'a=', 'a+b', 'x'.repeat(201), 'é', 'ab\n'])
    assert.equal(nonces.redeem(text, now), 'malformed', JSON.stringify(text));
  fc.assert(fc.property(fc.string(), (text) => nonces.redeem(text, now) !== 'good'));
});

test('UsedNonces gives each counter once, in any order within its window, and none below it', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 5_000 }), { maxLength: 300 }), (counters) => {
      const used = new UsedNonces();
      const seen = new Set<number>();
      return counters.every((counter) => {
        const fresh = !seen.has(counter);
        seen.add(counter);
        return used.take('a', counter) === fresh;
      });
    }),
  );
  const used = new UsedNonces();
  assert.equal(used.take('a', 5), true);
  assert.equal(used.take('a', 2 ** 20 + 5), true);
  assert.equal(used.take('a', 5), false, 'used');
  assert.equal(used.take('a', 4), false, 'below the window');
  assert.equal(used.take('a', 6), true, 'the lowest of the window');
  assert.equal(used.take('b', 5), true, 'another issuer');
});

test('decodeBase64url takes the one spelling of each octet string, and no other text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (octets) => {
      const text = Buffer.from(octets).toString('base64url');
      return decodeBase64url(text)?.equals(octets) === true;
    }),
  );
  const character = fc.constantFrom(...'ABCDEQUgwz0189_-+/= \n');
  fc.assert(
    fc.property(fc.string({ unit: character, maxLength: 9 }), (text) => {
      const octets = Buffer.from(text, 'base64url');
      return (decodeBase64url(text) !== null) === (octets.toString('base64url') === text);
    }),
    { numRuns: 2_000 },
  );
});
