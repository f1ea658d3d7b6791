import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import type { BundleDocument } from './bundle-document.ts';
import { findSharedAuthority, judgeBundle } from './judge-bundle.ts';

const NOW = Date.UTC(2026, 10, 28);
const [a, b] = [makeTestAuthority(NOW, 'A').root, makeTestAuthority(NOW, 'B').root];
const bundle = (sequence: number | null, ...authorities: BundleDocument['authorities']): BundleDocument => ({
  sequence,
  refreshHintMs: 1,
  authorities,
});

for (const [name, held, next, kind] of [
  ['takes the first one', null, bundle(0, a), 'newer'],
  ['takes a higher sequence', bundle(1, a), bundle(2, b), 'newer'],
  ['takes a higher sequence over the same authorities', bundle(1, a), bundle(9, a), 'newer'],
  ['takes a higher sequence that empties it', bundle(1, a), bundle(2), 'newer'],
  ['takes other authorities where there never was a sequence', bundle(null, a), bundle(null, b), 'newer'],
  ['takes the first sequence', bundle(null, a), bundle(0, a), 'newer'],
  ['finds the same again, in any order', bundle(1, a, b), bundle(1, b, a), 'same'],
  ['refuses a sequence that falls', bundle(2, a), bundle(1, a), 'refused'],
  ['refuses a sequence that falls to zero', bundle(2, a), bundle(0, a), 'refused'],
  ['refuses a sequence that is gone', bundle(2, a), bundle(null, a), 'refused'],
  ['refuses other authorities under the same number', bundle(2, a), bundle(2, b), 'refused'],
  ['refuses fewer authorities under the same number', bundle(2, a, b), bundle(2, a), 'refused'],
  ['refuses none under the same number', bundle(2, a), bundle(2), 'refused'],
  ['refuses to go back to what an empty bundle revoked', bundle(2), bundle(1, a), 'refused'],
] as const) {
  test(`judgeBundle() ${name}`, () => assert.equal(judgeBundle(held, next).kind, kind));
}

test('findSharedAuthority() finds a key that speaks for two domains', () => {
  assert.equal(findSharedAuthority([a], [{ trustDomain: 'x.example', authorities: [b] }]), null);
  assert.match(findSharedAuthority([a, b], [{ trustDomain: 'x.example', authorities: [b] }])!, /one of x\.example/);
});
