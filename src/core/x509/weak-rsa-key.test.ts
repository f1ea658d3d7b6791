import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { encodeDer, sequence, smallInteger, unsignedInteger } from './der-writer.ts';
import { parseSubjectPublicKey } from './public-key.ts';
import { findRsaWeakness, type RsaWeakness } from './weak-rsa-key.ts';

function weaknessOf(modulus: bigint): RsaWeakness | null {
  const hex = modulus.toString(16);
  return findRsaWeakness(
    encodeDer(sequence(unsignedInteger(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')), smallInteger(65_537))),
  );
}

/** Odd, without a factor below 752, from the number up; for these methods it need not be prime. */
function roughFrom(start: bigint): bigint {
  let candidate = start | 1n;
  while (smallPrimes.some((prime) => candidate % prime === 0n)) candidate += 2n;
  return candidate;
}

const smallPrimes = Array.from({ length: 750 }, (_, i) => BigInt(i + 2)).filter((n, _, all) => all.every((m) => m >= n || n % m !== 0n));
const big = (seed: bigint): bigint => roughFrom((1n << 1023n) + seed ** 20n);

test('keys of a good generator are not weak', () => {
  for (const modulusLength of [2048, 3072]) {
    const spki = generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ format: 'der', type: 'spki' });
    assert.equal(findRsaWeakness(parseSubjectPublicKey(spki).keyOctets), null);
  }
});

test('a factor below 752 is found', () => {
  for (const factor of [2n, 3n, 751n]) assert.equal(weaknessOf(factor * big(123_456_789n)), 'small-factor');
  assert.equal(weaknessOf(757n * big(123_456_789n)), null);
});

test('primes next to each other are found, primes far apart are not', () => {
  const p = big(987_654_321n);
  assert.equal(weaknessOf(p * p), 'close-primes');
  assert.equal(weaknessOf(p * roughFrom(p + 2n)), 'close-primes');
  assert.equal(weaknessOf(p * roughFrom(p + (1n << 500n))), 'close-primes');
  assert.equal(weaknessOf(p * roughFrom(p + (1n << 1000n))), null);
});

test('the fingerprint of ROCA is found', () => {
  const product = smallPrimes.filter((prime) => prime > 2n && prime <= 167n).reduce((a, b) => a * b, 1n);
  let power = 1n;
  for (let i = 0; i < 12_345; i++) power = (power * 65_537n) % product;
  const flawed = (k: bigint): bigint => {
    let candidate = k;
    while (smallPrimes.some((prime) => (candidate * product + power) % prime === 0n)) candidate += 1n;
    return candidate * product + power;
  };
  const [p, q] = [flawed(3n ** 480n), flawed(7n ** 250n)];
  assert.equal(weaknessOf(p * q), 'roca');
  assert.equal(weaknessOf(p * big(5_555_555n)), null, 'one flawed prime alone does not have it');
});
