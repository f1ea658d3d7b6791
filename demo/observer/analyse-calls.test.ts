import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countCalls, countChannels, countImpersonations, findLastReceived, measureSteadiness, namesIdentity } from './analyse-calls.ts';
import type { CallEvent } from './call-event.ts';
import { parseCallEvent } from './call-event.ts';
import { type Call, joinCalls } from './call.ts';

const always = { from: 0, to: Number.POSITIVE_INFINITY };
const identityOf = (caller: string): string => `spiffe://acme.example/demo/${caller}`;

function call(fields: Partial<Call> & { readonly id: string }): Call {
  return {
    role: 'service',
    caller: 'a',
    endpoint: 'b',
    detail: null,
    begunAt: 1000,
    received: { at: 1001, transport: 'unix', identity: `URI=${identityOf('a')}` },
    ended: { at: 1002, outcome: 'ok' },
    ...fields,
  };
}

function failed(id: string, fields: Partial<Call>): Call {
  return call({ id, ended: { at: 1500, outcome: 'ECONNRESET' }, ...fields });
}

test('joinCalls() puts the three events of a call together and names what nobody began', () => {
  const common = { caller: 'a', endpoint: 'b', by: 'a-1', role: 'service' } as const;
  const events: CallEvent[] = [
    { event: 'received', at: 2, id: 'x', endpoint: 'b', by: 'b-1', transport: 'tcp', identity: null },
    { event: 'begun', at: 1, id: 'x', ...common },
    { event: 'received', at: 2, id: 'stray', endpoint: 'b', by: 'b-1', transport: 'tcp', identity: null },
    { event: 'ended', at: 3, id: 'x', ...common, outcome: 'ok' },
  ];
  const { calls, strayIds } = joinCalls(events);
  assert.deepEqual(calls, [
    { ...call({ id: 'x' }), begunAt: 1, received: { at: 2, transport: 'tcp', identity: null }, ended: { at: 3, outcome: 'ok' } },
  ]);
  assert.deepEqual(strayIds, ['stray']);
});

test('countCalls() counts a call that never ended as failed', () => {
  assert.equal(countCalls([call({ id: '1', ended: null })], []).failed, 1);
});

test('countCalls() excuses only the named caller in the named time', () => {
  const expected = [{ caller: 'a', span: { from: 1400, to: 1600 }, why: 'rolled back' }];
  const totals = countCalls(
    [
      failed('during', { begunAt: 1450 }),
      failed('cut off by it', { begunAt: 1300 }),
      failed('after it', { begunAt: 1600, ended: { at: 1700, outcome: 'ECONNRESET' } }),
      failed('before it', { begunAt: 1000, ended: { at: 1399, outcome: 'ECONNRESET' } }),
      failed('another caller', { begunAt: 1450, caller: 'c' }),
    ],
    expected,
  );
  assert.deepEqual([totals.total, totals.failed, totals.expected], [5, 3, 2]);
});

test('measureSteadiness() shows a silent second', () => {
  const calls = [100, 200, 2100, 2200].map((begunAt) => call({ id: String(begunAt), begunAt }));
  const steady = measureSteadiness(calls, [{ caller: 'a', endpoint: 'b' }], { from: 0, to: 3000 });
  assert.equal(steady.fewestPerSecond, 0);
  assert.equal(steady.paths[0]!.fewestPerSecond, 0);
});

test('countChannels() takes nothing for mutual that the tap could read, or whose caller the origin was not told', () => {
  const counts = countChannels(
    [
      call({ id: 'mutual' }),
      call({ id: 'readable' }),
      call({ id: 'another identity', received: { at: 1, transport: 'unix', identity: `URI=${identityOf('c')}` } }),
      call({ id: 'no identity', received: { at: 1, transport: 'unix', identity: null } }),
      call({ id: 'own TLS', received: { at: 1, transport: 'tls', identity: `URI=${identityOf('a')}` } }),
      call({ id: 'not received', received: null }),
      call({ id: 'impostor', role: 'impostor' }),
    ],
    new Set(['readable']),
    identityOf,
    always,
  );
  assert.deepEqual(counts, { received: 5, mutual: 1, encrypted: 3, readable: 1 });
});

test('namesIdentity() wants one element and the exact URI', () => {
  const id = identityOf('a');
  assert.ok(namesIdentity(`Hash=00;URI=${id}`, id));
  assert.ok(namesIdentity(`By=x;URI="${id}"`, id));
  assert.ok(!namesIdentity(`URI=${id},URI=${id}`, id));
  assert.ok(!namesIdentity(`URI=${id}/b`, id));
  assert.ok(!namesIdentity(`By=${id}`, id));
});

test('findLastReceived() looks at what origins received, not at what callers were told', () => {
  const calls = [
    call({ id: '1', received: { at: 10, transport: 'unix', identity: null } }),
    call({ id: '2', role: 'thief', received: { at: 30, transport: 'unix', identity: null }, ended: null }),
    call({ id: '3', received: null, ended: { at: 90, outcome: 'ok' } }),
  ];
  assert.equal(findLastReceived(calls, 'a', 0), 30);
  assert.equal(findLastReceived(calls, 'a', 31), null);
});

test('countImpersonations() counts an attempt that only the origin saw as a success', () => {
  const seen = call({ id: '1', role: 'impostor', ended: { at: 5, outcome: 'ECONNRESET' } });
  const refused = call({ id: '2', role: 'impostor', received: null, ended: { at: 5, outcome: 'ECONNRESET' } });
  assert.deepEqual(countImpersonations([seen, refused], always), { attempts: 2, succeeded: 1 });
});

test('parseCallEvent() refuses a torn line and what is no event', () => {
  for (const line of ['', '{"event":"begun","at":1,"id"', 'null', '[]', '{"event":"other","at":1,"id":"x"}', '{"event":"begun"}']) {
    assert.equal(parseCallEvent(line), null, line);
  }
});
