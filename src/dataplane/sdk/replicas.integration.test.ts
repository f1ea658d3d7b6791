import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type OutboundSchema, Origination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { calls, openService } from '../../../test/support/sdk-lab.ts';
import { startTestControlPlane } from '../../../test/support/test-control-plane.ts';

type Replica = { answer: string | null; readonly seen: string[]; readonly endsThere?: true };

/** Replicas in the clear that answer each read, or hang up without an octet, and a service that calls them. */
async function openCaller(replicas: readonly Replica[], more: MessageInitShape<typeof OutboundSchema>) {
  const sockets = new Set<Socket>();
  const servers = replicas.map((replica) =>
    createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
      socket.on('data', (octets: Buffer) => {
        replica.seen.push(String(octets).split(' HTTP/')[0]!);
        if (replica.answer === null) socket.destroy();
        else if (replica.endsThere) socket.end(replica.answer);
        else socket.write(replica.answer);
      });
    }),
  );
  for (const server of servers) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  const control = await startTestControlPlane();
  const orders = await openService(control, 'orders', {
    outbound: [calls('stock', ports, { origination: Origination.PLAINTEXT, ...more })],
  });
  return {
    fetch: (init: Parameters<typeof orders.countersign.fetch>[1] = {}) => orders.countersign.fetch('http://stock/', init),
    async [Symbol.asyncDispose]() {
      await orders[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
      for (const server of servers) server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const SICK = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n';
const replica = (answer: string | null): Replica => ({ answer, seen: [] });
const RETRIES = { percent: 100, minimumPerSecond: 100 };

test('a call of the SDK whose connection ended before an octet of the answer goes to another replica', async () => {
  const [dead, alive] = [replica(null), replica(OK)];
  await using caller = await openCaller([dead, alive], { retries: RETRIES });
  for (let at = 0; at < 4; at++) assert.equal(await (await caller.fetch()).text(), 'ok');
  assert.equal(alive.seen.length, 4);
  assert.ok(dead.seen.length >= 1);
});

for (const [what, init, answer] of [
  ['a POST', { method: 'POST' }, null],
  ['a PUT with a body', { method: 'PUT', body: 'card=4111' }, null],
  ['a GET whose answer had begun', {}, 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'],
] as const) {
  test(`${what} is never sent again by the SDK`, async () => {
    const both = [replica(answer), replica(answer)];
    await using caller = await openCaller(both, { retries: RETRIES });
    const got = caller.fetch(init).then((response) => {
      // Only then does it break.
      for (const one of both) one.answer = null;
      return response.text();
    });
    if (answer !== null) while (both.every(({ answer: now }) => now !== null)) await new Promise(setImmediate);
    else await assert.rejects(got);
    assert.equal(both[0]!.seen.length + both[1]!.seen.length, 1);
    got.catch(() => {});
  });
}

for (const answer of ['H', 'HTTP/1.1 20', 'HTTP/1.1 103 Early Hints\r\n\r\n']) {
  test(`what began with ${JSON.stringify(answer)} was an answer, and the SDK sends nothing again`, async () => {
    const both: Replica = { answer, seen: [], endsThere: true };
    await using caller = await openCaller([both, both], { retries: RETRIES });
    await assert.rejects(caller.fetch());
    assert.equal(both.seen.length, 1);
  });
}

test('without a budget the SDK sends nothing again, and who gave up is not asked for again', async () => {
  const dead = replica(null);
  await using caller = await openCaller([dead, dead], {});
  await assert.rejects(caller.fetch());
  assert.equal(dead.seen.length, 1);
  const silent = replica('');
  await using patient = await openCaller([silent, silent], { retries: RETRIES });
  const abort = new AbortController();
  const asked = patient.fetch({ signal: abort.signal });
  while (silent.seen.length === 0) await new Promise(setImmediate);
  abort.abort();
  await assert.rejects(asked, { name: 'AbortError' });
  assert.equal(silent.seen.length, 1);
});

test('a replica that answers the SDK with 5xx is left out', async () => {
  const [sick, well] = [replica(SICK), replica(OK)];
  await using caller = await openCaller([sick, well], { ejection: { failures: 2, baseMs: 60_000, maximumPercent: 50 } });
  for (let at = 0; at < 20; at++) await (await caller.fetch()).text();
  assert.deepEqual([sick.seen.length, well.seen.length], [2, 18]);
});

test('the SDK asks replicas how they are, and calls those that are well', async () => {
  const [sick, well] = [replica(SICK), replica(OK)];
  const healthCheck = { path: '/healthz', intervalMs: 50, timeoutMs: 5_000, healthyAfter: 1, unhealthyAfter: 1, panicPercent: 0 };
  await using caller = await openCaller([sick, well], { healthCheck });
  const checks = (): number => sick.seen.filter((line) => line === 'GET /healthz').length;
  while (checks() < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  for (let at = 0; at < 6; at++) assert.equal((await caller.fetch()).status, 200);
  assert.equal(sick.seen.length, checks());
});
