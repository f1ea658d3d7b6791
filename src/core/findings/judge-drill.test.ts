import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DrillKind, drillReasons } from './drill-kind.ts';
import { type DrillEvidence, judgeDrill } from './judge-drill.ts';

const kinds = Object.keys(drillReasons) as DrillKind[];
const current = new Set(['01aa']);

function refused(kind: DrillKind): DrillEvidence {
  return {
    kind,
    octetsSent: 500,
    octetsAnswered: 0,
    seen: 'closed',
    resumed: kind === 'revoked-then-resumed',
    offeredSession: kind === 'revoked-then-resumed',
    servedSerial: '01aa',
    sighting: { reason: drillReasons[kind], octetsForwarded: 0, knownBy: 'octets' },
  };
}

test('a drill is proven when it left, was not answered, and the proxy logged the expected reason', () => {
  for (const kind of kinds) assert.deepEqual(judgeDrill(refused(kind), current), { kind: 'proven' }, kind);
});

test('a drill that was answered has failed, whatever the proxy logged', () => {
  for (const kind of kinds) assert.equal(judgeDrill({ ...refused(kind), octetsAnswered: 1 }, current).kind, 'failed', kind);
});

test('a drill whose octets did not leave has failed', () => {
  for (const kind of kinds) assert.equal(judgeDrill({ ...refused(kind), octetsSent: 63 }, current).kind, 'failed', kind);
});

test('a drill waits for the word of the proxy: a closed connection alone proves nothing', () => {
  for (const kind of kinds) assert.equal(judgeDrill({ ...refused(kind), sighting: null }, current).kind, 'waiting', kind);
});

test('a drill refused for another reason has failed', () => {
  for (const kind of kinds) {
    assert.equal(
      judgeDrill({ ...refused(kind), sighting: { reason: 'timeout', octetsForwarded: 0, knownBy: 'octets' } }, current).kind,
      'failed',
      kind,
    );
  }
});

test('a drill of which the service saw an octet has failed', () => {
  for (const kind of kinds) {
    const sighting = { reason: drillReasons[kind], octetsForwarded: 1, knownBy: 'octets' } as const;
    assert.equal(judgeDrill({ ...refused(kind), sighting }, current).kind, 'failed', kind);
  }
});

test('revoked-then-resumed has failed when the session was not resumed', () => {
  assert.equal(judgeDrill({ ...refused('revoked-then-resumed'), resumed: false }, current).kind, 'failed');
});

test('revoked-then-resumed is proven by an Envoy that shook hands anew, if the session was offered', () => {
  const sighting = { reason: 'revoked', octetsForwarded: 0, knownBy: 'address' } as const;
  const anew = { ...refused('revoked-then-resumed'), resumed: false, sighting };
  assert.deepEqual(judgeDrill(anew, current), { kind: 'proven' });
  for (const change of [
    { offeredSession: false },
    { octetsAnswered: 1 },
    { sighting: { ...sighting, reason: 'no-certificate' } },
    { sighting: { ...sighting, octetsForwarded: 1 } },
  ] as const) {
    assert.equal(judgeDrill({ ...anew, ...change }, current).kind, 'failed');
  }
  assert.equal(judgeDrill({ ...anew, sighting: null }, current).kind, 'waiting');
});

test('the positive handshake passes only answered and with a current serial', () => {
  const positive: DrillEvidence = { ...refused('expired'), kind: 'positive', seen: 'answered', octetsAnswered: 40, sighting: null };
  assert.deepEqual(judgeDrill(positive, current), { kind: 'proven' });
  for (const change of [{ seen: 'closed', octetsAnswered: 0 }, { servedSerial: '01bb' }, { servedSerial: null }]) {
    assert.equal(judgeDrill({ ...positive, ...change }, current).kind, 'failed');
  }
});
