import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder } from '../../../test/support/make-certificate.ts';
import { oids } from './oid.ts';
import { demandsStaple } from './tls-feature.ts';

const issuer = makeHolder('Issuing');
const withFeature = (...value: readonly number[]) =>
  certify(makeHolder(null), issuer, false, {
    furtherExtensions: [{ oid: oids.tlsFeature, critical: false, value: Uint8Array.from(value) }],
  });

test('demandsStaple() finds status_request among the features, and nothing else', () => {
  assert.equal(demandsStaple(withFeature(0x30, 3, 2, 1, 5)), true);
  assert.equal(demandsStaple(withFeature(0x30, 6, 2, 1, 17, 2, 1, 5)), true);
  assert.equal(demandsStaple(withFeature(0x30, 3, 2, 1, 17)), false);
  assert.equal(demandsStaple(withFeature(0x30, 0)), false);
  assert.equal(demandsStaple(certify(makeHolder(null), issuer, false)), false);
});

test('demandsStaple() refuses what is no list of numbers', () => {
  for (const value of [[], [2, 1, 5], [0x30, 3, 4, 1, 5], [0x30, 3, 2, 1, 5, 0], [0x30, 7, 2, 5, 1, 0, 0, 0, 5]])
    assert.throws(() => demandsStaple(withFeature(...value)), { code: 'der-malformed' }, value.join(' '));
});
