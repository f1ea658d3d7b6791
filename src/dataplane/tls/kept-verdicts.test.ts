import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY_MS } from '../../core/time/instant.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { judgeChain, KeptVerdicts, type PathJudgement } from './kept-verdicts.ts';
import { trustOf } from './trust.ts';

const NOW = Date.UTC(2026, 10, 24);
const FRIEND = 'spiffe://acme.example/prod/storefront';
const authority = makeTestAuthority(NOW);
const other = makeTestAuthority(NOW, 'Other');
const trust = trustOf('acme.example', [authority.root], []);
const widerTrust = trustOf('acme.example', [authority.root, other.root], []);
const good = authority.issue({ uris: [FRIEND] });
const foreign = other.issue({ uris: [FRIEND] });

function present(chain: readonly Uint8Array[], resumed = false) {
  return {
    leaf: chain[0]!,
    readChain: () => (resumed ? assert.fail('a resumed session has no chain') : chain),
    resumed,
    usage: 'client',
  } as const;
}

function wordOf(judged: PathJudgement): string {
  return judged.kind === 'proved' ? judged.identity.spiffeId : judged.reason;
}

test('judge() speaks for a resumed session by the verdict of its full handshake', () => {
  const kept = new KeptVerdicts();
  assert.equal(wordOf(kept.judge(NOW, trust, present(good.chain))), FRIEND);
  assert.equal(wordOf(kept.judge(NOW, trust, present(good.chain, true))), FRIEND);
  assert.equal(wordOf(kept.judge(NOW, trust, present(foreign.chain))), 'unknown-authority');
  assert.equal(wordOf(kept.judge(NOW, trust, present(foreign.chain, true))), 'unknown-authority');
});

test('judge() proves nothing for a resumed session that was never judged here, or under another bundle, or for the other side', () => {
  const kept = new KeptVerdicts();
  assert.equal(wordOf(kept.judge(NOW, trust, present(good.chain, true))), 'unverified-resumption');
  kept.judge(NOW, trust, present(good.chain));
  assert.equal(wordOf(kept.judge(NOW, widerTrust, present(good.chain, true))), 'unverified-resumption');
  assert.equal(wordOf(kept.judge(NOW, trust, { ...present(good.chain, true), usage: 'server' })), 'unverified-resumption');
});

test('judge() forgets no good verdict over a flood of worthless certificates', () => {
  const kept = new KeptVerdicts();
  kept.judge(NOW, trust, present(good.chain));
  for (let i = 0; i < 20_000; i++) kept.judge(NOW, trust, present([Uint8Array.of(i, i >> 8, i >> 16)]));
  assert.equal(wordOf(kept.judge(NOW, trust, present(good.chain, true))), FRIEND);
});

for (const [name, chain, reason] of [
  ['nothing', [], 'no-certificate'],
  ['what is no certificate', [Uint8Array.of(1)], 'chain-invalid'],
  ['no name', authority.issue({ dnsNames: ['a.example'] }).chain, 'wrong-identity'],
  ['two names', authority.issue({ uris: [FRIEND, 'spiffe://acme.example/prod/admin'] }).chain, 'wrong-identity'],
  ['a name of another trust domain', authority.issue({ uris: ['spiffe://other.example/prod/storefront'] }).chain, 'crossed-trust-domain'],
  ['a URI that is no SPIFFE ID', authority.issue({ uris: ['https://acme.example/'] }).chain, 'wrong-identity'],
  ['a key that signs lists', authority.issue({ uris: [FRIEND], signsLists: true }).chain, 'wrong-identity'],
  ['a leaf without its issuer', [good.chain[0]!], 'unknown-authority'],
  ['a leaf past its end', authority.issue({ uris: [FRIEND], notBefore: NOW - 2 * DAY_MS, notAfter: NOW - DAY_MS }).chain, 'expired'],
] as const) {
  test(`judgeChain() proves no identity by ${name}`, () => {
    assert.equal(wordOf(judgeChain(NOW, trust, 'client', chain)), reason);
  });
}

test('judgeChain() names the leaf and each authority below the anchor for revocation, and the earliest end', () => {
  const judged = judgeChain(NOW, trust, 'client', good.chain);
  assert.equal(judged.kind, 'proved');
  if (judged.kind !== 'proved') return;
  assert.deepEqual(judged.identity.revocationKeys, [
    `${authority.issuing.spkiSha256} ${good.certificate.serialHex}`,
    `${authority.root.spkiSha256} ${authority.issuing.serialHex}`,
  ]);
  assert.equal(judged.identity.validUntil, good.certificate.notAfter);
});
