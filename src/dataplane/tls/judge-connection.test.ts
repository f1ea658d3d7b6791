import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Mode } from '../../core/policy/mode.ts';
import { type InboundRules, isProbe, judgeConnection } from './judge-connection.ts';
import { type Peer, plaintextPeer } from './peer.ts';
import { emptyRevokedIndex, type RevokedIndex } from './revoked-index.ts';

const NOW = 1_000_000;
const friend = parseSpiffeId('spiffe://acme.example/prod/storefront');
const stranger = parseSpiffeId('spiffe://acme.example/prod/stranger');
const probe = parseSpiffeId('spiffe://acme.example/prod/countersign/probe');

function rules(modes: { readonly anonymous: Mode; readonly stranger: Mode; readonly friend: Mode }): InboundRules {
  return { anonymousMode: modes.anonymous, strangerMode: modes.stranger, callers: new Map([[friend, modes.friend]]), probe };
}

function proved(spiffeId: SpiffeId, validUntil = NOW): Peer {
  const certificate = { issuerKeySha256: new Uint8Array(32), serial: Uint8Array.of(1) };
  const identity = { spiffeId, certificate, revocationKeys: ['issuer 01', 'root 02'], foreignAnchor: null, validUntil, path: [] };
  return { channel: 'mtls', identity, offence: null, certificate, resumed: false };
}

const unproved: Peer = { ...plaintextPeer, channel: 'tls', offence: 'unknown-authority' };
const enforced = rules({ anonymous: 'enforce', stranger: 'enforce', friend: 'enforce' });
const revokedLeaf: RevokedIndex = { ...emptyRevokedIndex, certificates: new Set(['issuer 01']) };
const revokedIssuer: RevokedIndex = { ...emptyRevokedIndex, certificates: new Set(['root 02']) };
const suspended: RevokedIndex = { ...emptyRevokedIndex, suspended: new Set([friend, probe]) };

test('judgeConnection() accepts an allowed caller with a good certificate, and the prober', () => {
  assert.deepEqual(judgeConnection(NOW, proved(friend), enforced, emptyRevokedIndex), { kind: 'accept' });
  assert.deepEqual(judgeConnection(NOW, proved(probe), enforced, emptyRevokedIndex), { kind: 'accept' });
});

const faults: readonly (readonly [string, Peer, RevokedIndex, string])[] = [
  ['plaintext', plaintextPeer, emptyRevokedIndex, 'plaintext'],
  ['an unproved certificate', unproved, emptyRevokedIndex, 'unknown-authority'],
  ['a proved one over a version that is not allowed', { ...proved(friend), offence: 'tls-version' }, emptyRevokedIndex, 'tls-version'],
  ['a revoked certificate', proved(friend), revokedLeaf, 'revoked'],
  ['a certificate of a revoked authority', proved(friend), revokedIssuer, 'revoked'],
  ['a suspended identity', proved(friend), suspended, 'suspended'],
  ['a suspended prober', proved(probe), suspended, 'suspended'],
  ['a certificate past its end', proved(friend, NOW - 1), emptyRevokedIndex, 'expired'],
  ['an identity in no rule', proved(stranger), emptyRevokedIndex, 'wrong-identity'],
];

for (const [name, peer, revoked, reason] of faults) {
  test(`judgeConnection() refuses ${name} in enforce, and only there, for the same reason`, () => {
    assert.deepEqual(judgeConnection(NOW, peer, enforced, revoked), { kind: 'refuse', reason });
    for (const mode of ['observe', 'permissive'] as const) {
      const weak = rules({ anonymous: mode, stranger: mode, friend: mode });
      assert.deepEqual(judgeConnection(NOW, peer, weak, revoked), { kind: 'would-refuse', reason });
    }
  });
}

function only(which: 'anonymous' | 'stranger' | 'friend'): InboundRules {
  return rules({ anonymous: 'permissive', stranger: 'permissive', friend: 'permissive', [which]: 'enforce' });
}

function refused(peer: Peer, which: 'anonymous' | 'stranger' | 'friend', revoked = emptyRevokedIndex): boolean {
  return judgeConnection(NOW, peer, only(which), revoked).kind === 'refuse';
}

test('judgeConnection() takes the mode of the path for a proved caller, of strangers for others, and the anonymous mode for the rest', () => {
  assert.deepEqual([refused(proved(friend), 'friend', revokedLeaf), refused(proved(friend), 'anonymous', revokedLeaf)], [true, false]);
  assert.deepEqual([refused(proved(stranger), 'stranger'), refused(proved(stranger), 'anonymous')], [true, false]);
  assert.deepEqual([refused(plaintextPeer, 'anonymous'), refused(plaintextPeer, 'stranger')], [true, false]);
  assert.deepEqual([refused(unproved, 'anonymous'), refused(unproved, 'friend')], [true, false]);
});

test('isProbe() is true for the proved probe identity alone', () => {
  assert.equal(isProbe(proved(probe), enforced), true);
  assert.equal(isProbe(proved(friend), enforced), false);
  assert.equal(isProbe(plaintextPeer, { ...enforced, probe: null }), false);
});
