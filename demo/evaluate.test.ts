import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { evaluateRun } from './evaluate.ts';
import { noFacts, type RollbackFact, type RunFacts } from './facts.ts';
import type { CallEvent } from './observer/call-event.ts';
import type { TapRecord } from './tap/tap-record.ts';
import { emptyTimeline, type Timeline } from './timeline.ts';

const directory = mkdtempSync(join(tmpdir(), 'evaluate-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;
let ids = 0;

type CallFields = {
  readonly caller?: string;
  readonly endpoint?: string;
  readonly role?: 'service' | 'impostor' | 'thief';
  readonly detail?: string;
  readonly begunAt: number;
  readonly receivedAt?: number | null;
  readonly identity?: string | null;
  readonly outcome?: string;
};

function call(fields: CallFields): CallEvent[] {
  const {
    caller = 'storefront',
    endpoint = 'orders',
    role = 'service',
    begunAt,
    receivedAt = begunAt + 1,
    identity = null,
    outcome = 'ok',
  } = fields;
  const facts = { id: `call-${ids++}`, role, caller, endpoint, by: caller } as const;
  return [
    { event: 'begun', at: begunAt, ...facts, ...(fields.detail === undefined ? {} : { detail: fields.detail }) },
    ...(receivedAt === null
      ? []
      : [{ event: 'received', at: receivedAt, id: facts.id, endpoint, by: `${endpoint}-1`, transport: 'unix', identity } as const]),
    { event: 'ended', at: begunAt + 2, ...facts, outcome },
  ];
}

function evaluate(events: readonly CallEvent[], tap: readonly TapRecord[], timeline: Timeline, facts: RunFacts = noFacts(0)): RunFacts {
  const name = join(directory, String(files++));
  writeFileSync(`${name}.events`, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  writeFileSync(`${name}.tap`, tap.map((record) => `${JSON.stringify(record)}\n`).join(''));
  evaluateRun(facts, timeline, { events: `${name}.events`, tap: `${name}.tap` });
  return facts;
}

function attemptAt(begunAt: number, receivedAt: number | null): CallEvent[] {
  return call({ role: 'impostor', caller: 'impostor', begunAt, receivedAt, outcome: receivedAt === null ? 'ECONNRESET' : 'answered' });
}

function attempt(detail: string, header: string | null): CallEvent[] {
  return call({ role: 'impostor', caller: 'impostor', begunAt: 1, detail, identity: header });
}

function marker(endpoint: string, at: number): TapRecord {
  return { kind: 'marker', at, endpoint, replica: `${endpoint}-1`, count: 1 };
}

const rollback: RollbackFact = {
  path: 'partner → orders',
  reasons: [],
  decidedAt: 0,
  firstFailureAt: 0,
  lastFailureAt: 0,
  restoredAt: 0,
  secondsToRestore: 0,
  failedCalls: 0,
};

test('evaluateRun() measures a rollback from its first failed call to the first good one after the last', () => {
  const timeline = { ...emptyTimeline(), brokenWave: { caller: 'partner' as const, from: 1000, to: 90_000 } };
  const broken = [2000, 2500, 3000].map((begunAt) => call({ caller: 'partner', begunAt, receivedAt: null, outcome: 'status 502' }));
  const events = [...call({ caller: 'partner', begunAt: 900 }), ...broken.flat(), ...call({ caller: 'partner', begunAt: 3500 })];
  const facts = evaluate(events, [], timeline, { ...noFacts(0), rollbacks: [rollback] });
  assert.equal(facts.rollbacks[0]!.secondsToRestore, 1.5);
  assert.deepEqual([facts.calls!.failed, facts.calls!.expected], [0, 3]);
});

test('evaluateRun() excuses a broken caller for five seconds after its first failure and no longer', () => {
  const timeline = { ...emptyTimeline(), brokenWave: { caller: 'partner' as const, from: 1000, to: 90_000 } };
  const events = [2000, 8000].flatMap((begunAt) => call({ caller: 'partner', begunAt, receivedAt: null, outcome: 'status 502' }));
  const facts = evaluate(events, [], timeline, { ...noFacts(0), rollbacks: [rollback] });
  assert.deepEqual([facts.calls!.failed, facts.calls!.expected], [1, 1]);
});

test('evaluateRun() excuses nobody where nothing was rolled back', () => {
  const timeline = { ...emptyTimeline(), brokenWave: { caller: 'partner' as const, from: 1000, to: 90_000 } };
  const facts = evaluate(call({ caller: 'partner', begunAt: 2000, outcome: 'status 502' }), [], timeline);
  assert.equal(facts.calls!.failed, 1);
});

test('evaluateRun() takes a marker for late only from the drain of its endpoint on', () => {
  const timeline = { ...emptyTimeline(), closedAt: new Map([['customers', 5000] as const]) };
  const facts = evaluate([], [marker('customers', 4999), marker('customers', 5000), marker('orders', 9000)], timeline);
  assert.deepEqual(facts.tap, { markersBefore: 2, markersAfter: 1 });
});

test('evaluateRun() counts an impostor by the moment at which the origin saw it', () => {
  const timeline = { ...emptyTimeline(), closedAt: new Map([['orders', 5000] as const]) };
  const facts = evaluate([attemptAt(1000, 1001), attemptAt(4999, 5001), attemptAt(6000, null)].flat(), [], timeline);
  assert.deepEqual(facts.impersonation, { attempts: 3, succeededBefore: 1, succeededAfter: 1 });
});

test('evaluateRun() finds a forged identity that a sidecar passed on, and takes a stolen one for what it is', () => {
  const identity = 'URI=spiffe://acme.example/demo/storefront';
  const events = [attempt('forged-header', identity), attempt('stolen-certificate', identity), attempt('forged-header', null)].flat();
  assert.equal(evaluate(events, [], emptyTimeline()).forgedIdentities, 1);
});

test('evaluateRun() measures revocation by what origins received, of the service and of the thief', () => {
  const timeline = { ...emptyTimeline(), suspended: { caller: 'batch' as const, requestedAt: 9990, answeredAt: 10_000 } };
  const thief = (detail: string, begunAt: number, receivedAt: number | null): CallEvent[] =>
    call({ role: 'thief', caller: 'batch', endpoint: 'inventory', detail, begunAt, receivedAt });
  const events = [
    ...thief('open', 9500, 9501),
    ...thief('resumed', 9500, 9501),
    ...thief('new', 9500, 9501),
    ...thief('new', 10_200, 10_250),
    ...thief('open', 10_900, null),
    ...call({ caller: 'batch', endpoint: 'inventory', begunAt: 10_100, outcome: 'status 403' }),
  ];
  const revocation = {
    renewalRefused: true,
    joinRefused: true,
    streamRefused: true,
    secondsToLastAcceptedCall: 0,
    acceptedBefore: { open: 0, resumed: 0, new: 0 },
  };
  const facts = evaluate(events, [], timeline, { ...noFacts(0), revocation });
  assert.equal(facts.revocation!.secondsToLastAcceptedCall, 0.25);
  assert.deepEqual(facts.revocation!.acceptedBefore, { open: 1, resumed: 1, new: 1 });
  assert.deepEqual([facts.calls!.failed, facts.calls!.expected], [0, 1]);
});
