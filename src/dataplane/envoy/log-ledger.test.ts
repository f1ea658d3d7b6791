import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../platform/clock/clock.ts';
import { LogLedger } from './log-ledger.ts';

const T = 1_700_000_000_000;

/** What an Envoy says of itself, as far as the ledger asks. */
function openLedger() {
  const says = { written: 0, dropped: 0, flushed: 0, asked: 0, isThere: true };
  const clock = new ManualClock(T);
  const admin = {
    async counters() {
      if (!says.isThere) throw new Error('nobody');
      says.asked += 1;
      return new Map([
        ['access_logs.grpc_access_log.logs_written', says.written],
        ['access_logs.grpc_access_log.logs_dropped', says.dropped],
        ['access_logs.grpc_access_log.grpc_entries_flushed', says.flushed],
        ['http.admin.downstream_rq_total', says.asked],
      ]);
    },
    gauges: async () => new Map<string, number>(),
  };
  const ledger = new LogLedger({ admin, clock });
  const logs = (count: number): void => {
    says.written += count;
    says.flushed += count;
  };
  const come = (count: number, at: number | null = T): void => {
    for (let done = 0; done < count; done++) ledger.callCame(at);
  };
  return { ledger, says, clock, logs, come, lost: (withinMs = 0) => ledger.settle(withinMs) };
}

test('what came is not missed, whenever it comes within the time', async () => {
  const { ledger, says, logs, come, lost } = openLedger();
  assert.equal(await lost(), 0);
  logs(5);
  come(5);
  ledger.connectionCame();
  says.flushed += 1;
  assert.equal(await lost(), 0);
  logs(3);
  const settling = lost(10_000);
  setImmediate(() => come(3));
  assert.equal(await settling, 0);
});

test('each entry that does not come is missed once', async () => {
  const { says, logs, come, lost } = openLedger();
  assert.equal(await lost(), 0);
  says.dropped += 2;
  assert.deepEqual([await lost(), await lost()], [2, 0]);
  // With a stream.
  logs(10);
  come(6);
  assert.deepEqual([await lost(), await lost()], [4, 0]);
  // Of a connection, which is not counted before it is sent.
  says.flushed += 1;
  assert.deepEqual([await lost(), await lost()], [1, 0]);
});

test('what comes later makes up for nothing that is missed', async () => {
  const { clock, says, logs, come, lost } = openLedger();
  assert.equal(await lost(), 0);
  says.dropped += 3;
  const settling = lost(300);
  // Calls after the look, as of a busy port.
  clock.advance(50);
  logs(100);
  setImmediate(() => come(100, T + 50));
  assert.equal(await settling, 3);
});

test('what was given up and comes after all is missed again if it is lost the next time', async () => {
  const { logs, come, lost } = openLedger();
  assert.equal(await lost(), 0);
  logs(4);
  assert.equal(await lost(), 4);
  come(4);
  assert.equal(await lost(), 0);
  logs(2);
  assert.equal(await lost(), 2);
});

test('what an Envoy logged before us, and what another one did, is not asked for', async () => {
  const { ledger, says, logs, come, lost } = openLedger();
  assert.equal(await lost(), 0);
  logs(7);
  come(7);
  assert.equal(await lost(), 0);
  ledger.envoyWentAway();
  Object.assign(says, { isThere: false });
  assert.equal(await lost(), 0);
  Object.assign(says, { written: 1, flushed: 1, dropped: 0, asked: 0, isThere: true });
  come(1);
  assert.equal(await lost(), 0);
  logs(1);
  assert.equal(await lost(), 1);
});

test('one that only lost its streams is the same as before', async () => {
  const { ledger, logs, come, lost } = openLedger();
  assert.equal(await lost(), 0);
  logs(7);
  come(7);
  assert.equal(await lost(), 0);
  logs(3);
  ledger.envoyWentAway();
  assert.equal(await lost(), 3);
});
