import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import type { CertificateStanding } from '../../core/x509/judge-status.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { publicAddresses as policy } from '../../platform/network/public-addresses.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { CertificateStatuses } from './certificate-statuses.ts';

const START = Date.UTC(2026, 10, 28);
const authority = makeTestAuthority(START);
const subject = { leaf: authority.issue({ dnsNames: ['a.example'] }).certificate, issuer: authority.issuing };
const other = { leaf: authority.issue({ dnsNames: ['b.example'] }).certificate, issuer: authority.issuing };
const revoked: CertificateStanding = { kind: 'revoked', at: START - HOUR_MS, reason: 'keyCompromise' };
const good = (nextUpdate: number | null): CertificateStanding => ({ kind: 'good', nextUpdate });
const silent: CertificateStanding = { kind: 'unknown', detail: 'away' };

/** A book over a CA that answers what it is told to, when it is told to. */
function open(soonestMs?: number) {
  const clock = new ManualClock(START);
  let answer: CertificateStanding | null = good(START + DAY_MS);
  let asked = 0;
  let gate: Promise<void> = Promise.resolve();
  const ask = async () => {
    asked += 1;
    await gate;
    return answer;
  };
  const statuses = new CertificateStatuses(clock, ask, soonestMs);
  return {
    clock,
    statuses,
    asked: () => asked,
    answers: (next: CertificateStanding | null) => void (answer = next),
    hold: () => {
      const held = Promise.withResolvers<void>();
      gate = held.promise;
      return held.resolve;
    },
  };
}

test('one question is under way for a certificate, whoever wants to know, and none while the answer is fresh', async () => {
  const { statuses, asked, hold, clock } = open();
  const release = hold();
  assert.equal(statuses.known(subject, policy), null);
  const waiting = [statuses.ask(subject, policy), statuses.ask(subject, policy), statuses.ask(subject, policy)];
  release();
  for (const standing of await Promise.all(waiting)) assert.equal(standing.kind, 'good');
  for (let turn = 0; turn < 100; turn++) assert.equal(statuses.known(subject, policy)?.kind, 'good');
  assert.equal(asked(), 1);
  assert.equal(statuses.known(other, policy), null, 'of another certificate');
  clock.advance(HOUR_MS);
  assert.equal(statuses.known(subject, policy)?.kind, 'good', 'nobody waits for the next one');
  await statuses.ask(subject, policy);
  assert.equal(asked(), 2);
});

test('an answer is believed until its next update, one without for ten minutes', async () => {
  for (const [nextUpdate, lasts] of [
    [START + 3 * HOUR_MS, 3 * HOUR_MS],
    [null, 10 * MINUTE_MS],
  ] as const) {
    const { statuses, clock, answers } = open();
    answers(good(nextUpdate));
    await statuses.ask(subject, policy);
    answers(silent);
    clock.advance(lasts - 1);
    assert.equal(statuses.known(subject, policy)?.kind, 'good', 'though the CA is away by now');
    await statuses.ask(subject, policy);
    clock.advance(1);
    assert.equal(statuses.known(subject, policy), null);
  }
});

test('a CA that is away is asked once a minute, not once a connection', async () => {
  const { statuses, clock, asked, answers } = open();
  answers(silent);
  await statuses.ask(subject, policy);
  assert.deepEqual(statuses.known(subject, policy), silent);
  assert.equal(asked(), 1);
  clock.advance(MINUTE_MS);
  assert.equal(statuses.known(subject, policy), null);
  answers(null);
  assert.match(((await statuses.ask(subject, policy)) as { readonly detail: string }).detail, /names nobody/);
});

test('what was found revoked stays so when the CA is away or the server staples better news; the CA alone can take it back', async () => {
  const { statuses, clock, answers } = open();
  answers(revoked);
  await statuses.ask(subject, policy);
  answers(silent);
  clock.advance(30 * DAY_MS);
  assert.equal((await statuses.ask(subject, policy)).kind, 'revoked');
  statuses.learn(subject, good(clock.now() + DAY_MS));
  assert.equal(statuses.known(subject, policy)?.kind, 'revoked');
  answers(good(clock.now() + DAY_MS));
  assert.equal((await statuses.ask(subject, policy)).kind, 'good');
});

test('a stapled answer is as good as a fetched one, and spares the question', () => {
  const { statuses, asked } = open();
  statuses.learn(subject, good(START + HOUR_MS));
  assert.equal(statuses.known(subject, policy)?.kind, 'good');
  statuses.learn(subject, silent);
  assert.equal(statuses.known(subject, policy)?.kind, 'good', 'a bad staple is as none');
  statuses.learn(subject, revoked);
  assert.equal(statuses.known(subject, policy)?.kind, 'revoked');
  assert.equal(asked(), 0);
});

test('a staple that is shown again and again does not keep the CA from being asked', async () => {
  const { statuses, asked, answers, clock } = open();
  answers(revoked);
  for (let minute = 0; minute < 60; minute++) {
    statuses.learn(subject, good(START + 7 * DAY_MS));
    assert.equal(statuses.known(subject, policy)?.kind, 'good');
    clock.advance(MINUTE_MS);
  }
  assert.equal(asked(), 0);
  statuses.learn(subject, good(START + 7 * DAY_MS));
  statuses.known(subject, policy);
  assert.equal(asked(), 1, 'beside what goes on');
  assert.equal((await statuses.ask(subject, policy)).kind, 'revoked');
});

test('a newer staple is news, one that names no end is none', () => {
  const { statuses, asked, clock } = open();
  statuses.learn(subject, good(null));
  assert.equal(statuses.known(subject, policy), null);
  statuses.learn(subject, good(START + HOUR_MS));
  clock.advance(HOUR_MS / 2);
  statuses.learn(subject, good(START + DAY_MS));
  assert.equal(statuses.known(subject, policy)?.kind, 'good');
  clock.advance(HOUR_MS);
  assert.equal(statuses.known(subject, policy)?.kind, 'good');
  assert.equal(asked(), 1, 'an hour after the last news');
});

test('open connections are told once when their certificate falls, and those that have closed are not', async () => {
  const { statuses, answers } = open();
  await statuses.ask(subject, policy);
  const told: string[] = [];
  statuses.watch(subject, policy, () => void told.push('open'));
  statuses.watch(subject, policy, () => void told.push('closed'))();
  statuses.watch(other, policy, () => void told.push('other'))();
  answers(revoked);
  await statuses.ask(subject, policy);
  await statuses.ask(subject, policy);
  assert.deepEqual(told, ['open']);
});

test('a CA whose answers end soon is asked no oftener than every ten seconds', async () => {
  const { statuses, answers, asked, clock } = open();
  answers(good(START + 60_000));
  await statuses.ask(subject, policy);
  clock.advance(59_000);
  answers(good(START + 60_000));
  statuses.known(subject, policy);
  await statuses.ask(subject, policy);
  assert.equal(asked(), 2);
  clock.advance(500);
  assert.equal(statuses.known(subject, policy)?.kind, 'good');
  assert.equal(asked(), 2, 'half of what is left is half a second');
});

test('while a connection is open its certificate is asked about again by itself', async () => {
  const { statuses, answers, clock } = open(0);
  answers(good(START + 2));
  await statuses.ask(subject, policy);
  const fallen = Promise.withResolvers<void>();
  const end = statuses.watch(subject, policy, fallen.resolve);
  answers(revoked);
  clock.advance(1);
  await fallen.promise;
  end();
});
