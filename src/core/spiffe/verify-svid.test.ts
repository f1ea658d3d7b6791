import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTestAuthority, type TestAuthority } from '../../../test/support/test-authority.ts';
import { DAY_MS, HOUR_MS } from '../time/instant.ts';
import { type SvidAuthorities, type SvidTrust, type SvidVerdict, verifySvid } from './verify-svid.ts';

const NOW = Date.UTC(2026, 10, 28);
const [ours, theirs, others, stranger] = ['Ours', 'Theirs', 'Others', 'Stranger'].map((name) => makeTestAuthority(NOW, name)) as [
  TestAuthority,
  TestAuthority,
  TestAuthority,
  TestAuthority,
];
const bundleOf = (trustDomain: string, ...authorities: TestAuthority[]): SvidAuthorities => ({
  trustDomain,
  anchors: authorities.map(({ root }) => root),
  intermediates: [],
});
const own = bundleOf('acme.example', ours);
const trust: SvidTrust = {
  own,
  federated: new Map([
    ['partner.example', bundleOf('partner.example', theirs)],
    ['other.example', bundleOf('other.example', others)],
    ['revoked.example', bundleOf('revoked.example')],
  ]),
};
const US = 'spiffe://acme.example/production/orders';
const PARTNER = 'spiffe://partner.example/shop';

const wordOf = (verdict: SvidVerdict): string => (verdict.kind === 'proved' ? verdict.spiffeId : verdict.reason);
const judge = (chain: readonly Uint8Array[], usage: 'client' | 'server' = 'client', under = trust): string =>
  wordOf(verifySvid(NOW, under, { chain, usage }));

test('verifySvid() verifies each identity by the bundle of its own trust domain', () => {
  assert.equal(judge(ours.issue({ uris: [US] }).chain), US);
  assert.equal(judge(theirs.issue({ uris: [PARTNER] }).chain), PARTNER);
  assert.equal(judge(theirs.issue({ uris: [PARTNER] }).chain, 'server'), PARTNER);
  assert.equal(judge(others.issue({ uris: ['spiffe://other.example/x'] }).chain), 'spiffe://other.example/x');
});

const refused: readonly (readonly [string, readonly Uint8Array[], string])[] = [
  ['their name under our authority', ours.issue({ uris: [PARTNER] }).chain, 'crossed-trust-domain'],
  ['our name under their authority', theirs.issue({ uris: [US] }).chain, 'crossed-trust-domain'],
  ['their name under the authority of others', others.issue({ uris: [PARTNER] }).chain, 'crossed-trust-domain'],
  ['a name of nobody under our authority', ours.issue({ uris: ['spiffe://nobody.example/x'] }).chain, 'crossed-trust-domain'],
  ['a name of nobody under their authority', theirs.issue({ uris: ['spiffe://nobody.example/x'] }).chain, 'crossed-trust-domain'],
  ['a name of nobody under a strange authority', stranger.issue({ uris: ['spiffe://nobody.example/x'] }).chain, 'unknown-authority'],
  ['their name under a strange authority', stranger.issue({ uris: [PARTNER] }).chain, 'unknown-authority'],
  ['a domain without an authority', stranger.issue({ uris: ['spiffe://revoked.example/x'] }).chain, 'unknown-authority'],
  ['a domain without an authority, under ours', ours.issue({ uris: ['spiffe://revoked.example/x'] }).chain, 'crossed-trust-domain'],
  ['two names, theirs first', theirs.issue({ uris: [PARTNER, US] }).chain, 'unknown-authority'],
  ['two names, ours first', ours.issue({ uris: [US, PARTNER] }).chain, 'wrong-identity'],
  ['two names of one domain', ours.issue({ uris: [US, `${US}-2`] }).chain, 'wrong-identity'],
  ['a trust domain as a name', theirs.issue({ uris: ['spiffe://partner.example'] }).chain, 'unknown-authority'],
  ['a name in capitals', theirs.issue({ uris: ['spiffe://Partner.example/shop'] }).chain, 'unknown-authority'],
  ['a port in the name', theirs.issue({ uris: ['spiffe://partner.example:443/shop'] }).chain, 'unknown-authority'],
  ['no name', theirs.issue({ dnsNames: ['partner.example'] }).chain, 'unknown-authority'],
  ['their name past its end', theirs.issue({ uris: [PARTNER], notBefore: NOW - DAY_MS, notAfter: NOW - HOUR_MS }).chain, 'expired'],
  ['their name before its beginning', theirs.issue({ uris: [PARTNER], notBefore: NOW + HOUR_MS }).chain, 'not-yet-valid'],
  ['their name for servers', theirs.issue({ uris: [PARTNER], usages: ['server'] }).chain, 'wrong-usage'],
  ['their name with a key that signs lists', theirs.issue({ uris: [PARTNER], signsLists: true }).chain, 'unknown-authority'],
  ['their leaf without its issuer', theirs.issue({ uris: [PARTNER] }).chain.slice(0, 1), 'unknown-authority'],
  ['their leaf behind our issuer', [theirs.issue({ uris: [PARTNER] }).chain[0]!, ours.issuing.der], 'unknown-authority'],
  ['nothing', [], 'no-certificate'],
  ['what is no certificate', [Uint8Array.of(1)], 'chain-invalid'],
];
for (const [name, chain, reason] of refused) {
  test(`verifySvid() proves nobody by ${name}`, () => assert.equal(judge(chain), reason));
}

test('verifySvid() proves nobody of a domain that was taken back', () => {
  assert.equal(judge(theirs.issue({ uris: [PARTNER] }).chain, 'client', { own, federated: new Map() }), 'unknown-authority');
});
