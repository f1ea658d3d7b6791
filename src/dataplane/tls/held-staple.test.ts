import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { makeTestAuthority, type TestAnswer, type TestCredential } from '../../../test/support/test-authority.ts';
import { ORDERS } from '../../../test/support/proxy-lab.ts';
import { type Credential, openCredential } from './credential.ts';
import { HeldStaple } from './held-staple.ts';
import { emptyRevokedIndex, revocationKey } from './revoked-index.ts';

const now = Date.UTC(2026, 10, 28);
const [authority, stranger] = [makeTestAuthority(now), makeTestAuthority(now, 'Stranger')];
const served = authority.issue({ uris: [ORDERS] });
const credentialOf = ({ chain, key }: TestCredential): Credential => openCredential({ spiffeId: ORDERS, chain, privateKey: key });
const credential = credentialOf(served);
const answer = (more?: TestAnswer): Uint8Array => authority.answerAbout(served.certificate, more);
const open = () => {
  const logged: string[] = [];
  return { logged, held: new HeldStaple((_level, event) => void logged.push(event)) };
};
const inForce = { now, revoked: emptyRevokedIndex };

test('an answer that says good is stapled until shortly before its next update, which is logged once', () => {
  const { held, logged } = open();
  assert.equal(held.octetsFor(credential, inForce), null);
  const response = answer();
  assert.equal(held.take(now, response, credential), now + HOUR_MS - 5 * MINUTE_MS);
  assert.deepEqual(held.octetsFor(credential, inForce), Buffer.from(response));
  assert.ok(held.octetsFor(credential, { ...inForce, now: now + 54 * MINUTE_MS }) !== null);
  for (let turn = 0; turn < 2; turn++) assert.equal(held.octetsFor(credential, { ...inForce, now: now + 55 * MINUTE_MS }), null);
  assert.deepEqual(logged, ['staple has ended']);
});

test('nothing is stapled to another certificate, nor after a revocation of ours that came later', () => {
  const { held } = open();
  held.take(now, answer(), credential);
  assert.equal(held.octetsFor(credentialOf(authority.issue({ uris: [ORDERS] })), inForce), null);
  const key = revocationKey(authority.issuing.spkiSha256, served.certificate.serialHex);
  assert.equal(held.octetsFor(credential, { now, revoked: { ...emptyRevokedIndex, certificates: new Set([key]) } }), null);
  assert.ok(held.octetsFor(credential, inForce) !== null);
});

test('what does not say good of this very certificate now is refused, and leaves what is held', () => {
  const other = authority.issue({ uris: [ORDERS] });
  const forged = Uint8Array.from(answer());
  // Inside the status: the signature does not fit any more.
  forged[120]! ^= 1;
  const { issuer: _issuer, ...alone } = credential;
  const cases: readonly (readonly [string, Uint8Array, Credential, RegExp])[] = [
    ['revoked', answer({ status: { kind: 'revoked', at: now - HOUR_MS, reason: 'keyCompromise' } }), credential, /it says revoked/],
    ['unknown', answer({ status: { kind: 'unknown' } }), credential, /does not know/],
    ['ended', answer({ thisUpdate: now - 2 * HOUR_MS, nextUpdate: now - HOUR_MS }), credential, /not of this time/],
    ['about to end', answer({ nextUpdate: now + 4 * MINUTE_MS }), credential, /about to end/],
    ['of tomorrow', answer({ thisUpdate: now + 24 * HOUR_MS, nextUpdate: now + 25 * HOUR_MS }), credential, /not of this time/],
    ['about another certificate', authority.answerAbout(other.certificate), credential, /another certificate/],
    ['of another issuer', stranger.answerAbout(served.certificate), credential, /another certificate/],
    ['forged', forged, credential, /Cannot/],
    ['an error', Uint8Array.of(0x30, 3, 10, 1, 3), credential, /tryLater/],
    ['garbage', Uint8Array.of(1, 2, 3), credential, /DER/],
    ['nothing', new Uint8Array(), credential, /DER/],
    ['no issuer', answer(), { ...alone, issuer: null }, /no issuer/],
  ];
  const { held } = open();
  held.take(now, answer(), credential);
  for (const [name, response, to, expected] of cases) assert.throws(() => held.take(now, response, to), { message: expected }, name);
  assert.ok(held.octetsFor(credential, inForce) !== null);
});
