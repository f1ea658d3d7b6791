import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claims, judgeClaims } from './claims.ts';
import { noFacts } from './facts.ts';
import { sabotages } from './sabotage.ts';

test('judgeClaims() takes nothing for granted that was not measured', () => {
  const unmeasured = judgeClaims(noFacts(0)).filter(({ problem }) => problem === null);
  assert.deepEqual(
    unmeasured.map(({ claim }) => claim.name),
    ['in-time'],
  );
});

test('claims have one name each, and every sabotage names one of them', () => {
  const names = claims.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const { claim } of sabotages) assert.ok(names.includes(claim), claim);
});

test('judgeClaims() does not take an idle impostor, tap or thief for a proof', () => {
  const facts = {
    ...noFacts(0),
    impersonation: { attempts: 9, succeededBefore: 0, succeededAfter: 0 },
    tap: { markersBefore: 0, markersAfter: 0 },
    drills: { fired: 0, refused: 0, passed: 0, endpoints: 0 },
    revocation: {
      secondsToLastAcceptedCall: 0.1,
      acceptedBefore: { open: 9, resumed: 0, new: 9 },
      renewalRefused: true,
      joinRefused: true,
      streamRefused: true,
    },
  };
  const failed = judgeClaims(facts).flatMap(({ claim, problem }) => (problem === null ? [] : [claim.name]));
  for (const name of ['impostor-refused', 'tap-silent-after-drain', 'drills-refused', 'revocation-in-time'] as const) {
    assert.ok(failed.includes(name), name);
  }
});
