import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { makeList } from '../../../test/support/make-certificate-list.ts';
import { DAY_MS } from '../time/instant.ts';
import { judgeByList, judgeByResponse } from './judge-status.ts';
import { buildOcspError } from './ocsp-response.ts';

const [root, stranger] = [makeHolder('Root'), makeHolder('Stranger')];
const issuer = certify(root, root, true);
const leaf = certify(makeHolder(null), root, false);
const other = certify(makeHolder(null), root, false, { serial: Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9) });
const subject = { leaf, issuer };

test('judgeByList() tells what a complete list of the issuer says, and nothing from any other', () => {
  assert.equal(judgeByList(TEST_NOW, makeList(root), subject).kind, 'good');
  assert.equal(judgeByList(TEST_NOW, makeList(root, { revoked: [{ certificate: other }] }), subject).kind, 'good');
  const revoked = judgeByList(TEST_NOW, makeList(root, { revoked: [{ certificate: leaf, reason: 'keyCompromise' }] }), subject);
  assert.ok(revoked.kind === 'revoked' && revoked.reason === 'keyCompromise');
  for (const [name, list, now] of [
    ['of a stranger', makeList(stranger), TEST_NOW],
    ['a delta', makeList(root, { deltaBase: 1 }), TEST_NOW],
    ['stale', makeList(root), TEST_NOW + 3 * DAY_MS],
    ['of tomorrow', makeList(root), TEST_NOW - 3 * DAY_MS],
  ] as const)
    assert.equal(judgeByList(now, list, subject).kind, 'unknown', name);
});

test('judgeByResponse() learns nothing from an error', () => {
  assert.equal(judgeByResponse(TEST_NOW, buildOcspError('tryLater'), subject).kind, 'unknown');
  assert.throws(() => judgeByResponse(TEST_NOW, Uint8Array.of(48, 0), subject), /DER/);
});
