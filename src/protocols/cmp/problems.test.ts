import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IssuanceRefused } from '../../control/ca/issuance-refused.ts';
import { Problem } from '../../core/problems/problem.ts';
import { isCmpPath, profileOfPath } from './paths.ts';
import { CmpProblem, toCmpProblem } from './problems.ts';

test('each error tells the outside a bit of PKIFailureInfo; what failed inside tells that alone', () => {
  const cases = [
    [new CmpProblem('badTime', 'x'), 'badTime'],
    [new Problem('csr-malformed', 'x'), 'badPOP'],
    [new Problem('der-malformed', 'x'), 'badDataFormat'],
    [new Problem('identity-malformed', 'x'), 'badCertTemplate'],
    [new Problem('not-found', 'x'), 'badCertId'],
    [new Problem('rate-limited', 'x'), 'systemUnavail'],
    [new Problem('state-conflict', 'x'), 'systemUnavail'],
    [new Problem('forbidden', 'x'), 'notAuthorized'],
    [new Problem('input-invalid', 'x'), 'badRequest'],
    [new Problem('internal', 'x'), 'systemFailure'],
    [new Problem('key-locked', 'x'), 'systemFailure'],
    [new TypeError('x'), 'systemFailure'],
    [new IssuanceRefused(['key: small']), 'badCertTemplate'],
    [new IssuanceRefused(['names: none', 'lifetime: long']), 'badCertTemplate'],
    [new IssuanceRefused(['key: small', 'grant: not for it']), 'notAuthorized'],
    [new IssuanceRefused(['identity spiffe://a/b/c is suspended']), 'notAuthorized'],
    [new IssuanceRefused(['certificate 01, which is to be renewed, is revoked']), 'certRevoked'],
  ] as const;
  for (const [error, failure] of cases) assert.equal(toCmpProblem(error).failure, failure, error.message);
});

test('the paths of RFC 9811 and RFC 9483 lead here, and no other', () => {
  const good = [
    '/',
    '/pkix',
    '/pkix/',
    '/.well-known/cmp',
    '/.well-known/cmp/',
    '/.well-known/cmp/initialization',
    '/.well-known/cmp/p/server',
    '/.well-known/cmp/p/server/keyupdate',
    '/.well-known/cmp?x=1',
  ];
  for (const path of good) assert.equal(isCmpPath(path), true, path);
  const bad = [
    '/cmp',
    '/.well-known/cmp/p',
    '/.well-known/cmp/p/',
    '/.well-known/cmp/p/A',
    '/.well-known/cmp/other',
    '/.well-known/est',
    '/pkix/x',
  ];
  for (const path of bad) assert.equal(isCmpPath(path), false, path);
  assert.equal(profileOfPath('/.well-known/cmp/p/server/keyupdate'), 'server');
  assert.equal(profileOfPath('/.well-known/cmp/keyupdate'), null);
  assert.equal(profileOfPath('/pkix/'), null);
});
