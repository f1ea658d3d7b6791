import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTrustDomain } from '../identity/trust-domain.ts';
import { readClaim } from './claim.ts';
import { matchesClaim, matchesGlob } from './claim-pattern.ts';
import { applyRule } from './identity-provider.ts';
import { expandTemplate, parseNameTemplate } from './name-template.ts';
import { parseIdentityProvider } from './parse-identity-provider.ts';

const rule = {
  name: 'deploy',
  match: { repository: 'acme/orders', ref: ['refs/heads/main', 'refs/heads/stable'], workflow: { glob: 'acme/ci/*@refs/heads/main' } },
  profiles: ['server', 'workload'],
  spiffeId: 'spiffe://{trustDomain}/{environment}/{last:repository}',
  dnsNames: ['{last:repository}.acme.example'],
};
const provider = { issuer: 'https://ci.example', audience: 'https://countersign.example', rules: [rule] };
const claims = { repository: 'acme/orders', ref: 'refs/heads/main', workflow: 'acme/ci/deploy@refs/heads/main' };
const context = { trustDomain: parseTrustDomain('acme.example'), provider: 'ci' };

test('a rule makes its names from the claims', () => {
  const [parsed] = parseIdentityProvider(provider, 'production').rules;
  const verdict = applyRule(parsed!, { claims, ...context });
  assert.equal(verdict.kind, 'grant');
  assert.deepEqual(verdict.kind === 'grant' && [verdict.grant.spiffeId, verdict.grant.dnsNames, verdict.grant.source], [
    'spiffe://acme.example/production/orders',
    ['orders.acme.example'],
    'ci/deploy',
  ]);
});

test('a rule does not fit other claims', () => {
  const [parsed] = parseIdentityProvider(provider, 'production').rules;
  const others = [
    {},
    { ...claims, repository: 'evil/orders' },
    { ...claims, repository: 'acme/orders ' },
    { ...claims, repository: 'Acme/orders' },
    { ...claims, repository: { name: 'acme/orders' } },
    { ...claims, ref: 'refs/heads/main2' },
    { ...claims, ref: 'refs/pull/1/merge' },
    { ...claims, workflow: 'acme/ci/a/b@refs/heads/main' },
    { ...claims, workflow: 'acme/ci/deploy@refs/heads/main2' },
    { ...claims, workflow: null },
  ];
  for (const other of others) assert.equal(applyRule(parsed!, { claims: other, ...context }).kind, 'no-match', JSON.stringify(other));
});

test('a claim moves no boundary of a name', () => {
  const spiffe = 'spiffe://{trustDomain}/{environment}/{claim:a}';
  assert.equal(expand('orders', 'spiffe-id', spiffe), 'name');
  const bad = ['', 'a/b', '../x', '.', '..', 'a?b', 'a#b', 'a%2fb', 'a b', 'a\0', 'ä', ['orders'], null, { b: 1 }, 'x'.repeat(129)];
  for (const value of bad) assert.equal(expand(value, 'spiffe-id', spiffe), 'unfit', JSON.stringify(value));
  const dns = '{claim:a}.acme.example';
  assert.equal(expand('orders', 'dns-name', dns), 'name');
  for (const value of ['evil.example', '*', '*.x', 'a.b', '-a', 'a-', 'a_b', '', 'x'.repeat(64), 'evil.example\0']) {
    assert.equal(expand(value, 'dns-name', dns), 'unfit', value);
  }
  for (const value of ['A', 'a/b', '', '-', '.a']) assert.equal(expand(value, 'proxy-name', '{claim:a}'), 'unfit', value);
});

test('parseNameTemplate() refuses other braces', () => {
  const texts = ['', '{', '}', '{}', '{x}', '{claim}', '{claim:}', '{claim:a', '{{claim:a}}', '{claim: a}', '{Claim:a}', 'x'.repeat(501)];
  for (const text of texts) assert.throws(() => parseNameTemplate(text), { code: 'input-invalid' }, text);
});

test('a path finds claims whose names have dots, and none where two could be meant', () => {
  const pod = { 'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'orders' } } };
  assert.equal(readClaim(pod, 'kubernetes.io.serviceaccount.name'), 'orders');
  assert.equal(readClaim({ a: { b: 1 }, 'a.b': 2 }, 'a.b'), undefined);
  for (const path of ['kubernetes', 'kubernetes.io.name', 'constructor', '__proto__', 'kubernetes.io.toString', '.', 'kubernetes.io.']) {
    assert.equal(readClaim(pod, path), undefined, path);
  }
});

test('a glob spans the whole value, and its star no part', () => {
  const fits = [
    ['repo:acme/*:ref:refs/heads/main', 'repo:acme/orders:ref:refs/heads/main'],
    ['**', ''],
    ['a**z', 'a/b:z'],
    ['*', 'a*b'],
  ] as const;
  for (const [glob, text] of fits) assert.equal(matchesGlob(glob, text), true, `${glob} ${text}`);
  const others = [
    ['repo:acme/*', 'repo:acme/orders:pull_request'],
    ['repo:acme/*:ref:refs/heads/main', 'repo:acme/x:environment:y:ref:refs/heads/main'],
    ['repo:acme/*', 'repo:acme2/orders'],
    ['*', 'a/b'],
    ['acme', 'acmee'],
    ['a.c', 'abc'],
    ['', 'a'],
    ['a\\*', 'ab'],
  ] as const;
  for (const [glob, text] of others) assert.equal(matchesGlob(glob, text), false, `${glob} ${text}`);
  assert.equal(matchesGlob('*a'.repeat(200), 'a'.repeat(5_000) + 'b'), false, 'and in bounded time');
  assert.equal(matchesClaim({ kind: 'exact', value: 'ops' }, ['dev', 'ops']), true, 'one of a list');
  assert.equal(matchesClaim({ kind: 'exact', value: 'true' }, true), true);
});

test('parseIdentityProvider() refuses what is malformed, and rules that everybody fits', () => {
  const withRule = (change: object) => ({ ...provider, rules: [{ ...rule, ...change }] });
  const refused: readonly (readonly [string, unknown])[] = [
    ['no object', []],
    ['an unknown field', { ...provider, secret: 1 }],
    ['plain http', { ...provider, issuer: 'http://ci.example' }],
    ['credentials in the URL', { ...provider, issuer: 'https://a:b@ci.example' }],
    ['no audience', { ...provider, audience: undefined }],
    ['keys by plain http', { ...provider, jwksUri: 'http://ci.example/keys' }],
    ['anchors that are none', { ...provider, anchorsPem: 'x' }],
    ['no rules', { ...provider, rules: [] }],
    ['two rules of one name', { ...provider, rules: [rule, rule] }],
    ['tokens for a year', { ...provider, maxTokenLifetimeMs: 31_536_000_000 }],
    ['no match', withRule({ match: {} })],
    ['a match by stars alone', withRule({ match: { repository: { glob: '**' } } })],
    ['a match by issuer and audience alone', withRule({ match: { iss: 'https://ci.example', aud: 'x' } })],
    ['an empty list', withRule({ match: { repository: [] } })],
    ['a pattern of another kind', withRule({ match: { repository: { regex: '.*' } } })],
    ['a number that is not exact', withRule({ match: { id: 2 ** 60 } })],
    ['an unknown door', withRule({ doors: ['acme'] })],
    ['no profile', withRule({ profiles: [] })],
    ['a profile that is no name', withRule({ profiles: ['Super user'] })],
    ['a join without an identity', withRule({ doors: ['join'], spiffeId: undefined })],
    ['a broken template', withRule({ dnsNames: ['{x}.example'] })],
    ['an address that is none', withRule({ ipAddresses: ['300.1.1.1'] })],
    ['half a second', withRule({ maxLifetimeMs: 60_500 })],
    ['a flag that is none', withRule({ singleUse: 'no' })],
  ];
  for (const [name, input] of refused) {
    assert.throws(
      () => parseIdentityProvider(input, 'production'),
      (error: { code?: string }) => /input-invalid|identity-malformed/.test(error.code ?? ''),
      name,
    );
  }
});

function expand(value: unknown, kind: 'spiffe-id' | 'dns-name' | 'proxy-name', text: string): 'name' | 'unfit' {
  return expandTemplate(kind, parseNameTemplate(text), { claims: { a: value }, environment: 'production', trustDomain: 'acme.example' })
    .kind;
}
