import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { startTestControlPlane } from '../../../test/support/test-control-plane.ts';
import { type DrillRunKind, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { DrillJobSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { DRILL_JOB_TYPE } from '../../core/messages/type-urls.ts';
import { parseAddressPolicy } from '../../platform/network/address-policy.ts';
import { runScanner } from './run-scanner.ts';

type Job = { readonly port: number; readonly ip?: string; readonly kind?: DrillRunKind; readonly deadlineMs?: bigint };

/** A prober on the stream of a control plane that can be handed jobs. */
async function openProber() {
  const control = await startTestControlPlane();
  const { state } = await control.joined('countersign/probe');
  const scanner = await runScanner({
    state,
    control: control.control,
    clock: control.clock,
    log: control.log,
    policy: parseAddressPolicy(['127.0.0.0/8']),
  });
  return {
    control,
    give(jobs: readonly Job[]): readonly string[] {
      const ids = jobs.map((_, index) => `drill_${control.drills.length + index}`);
      for (const [index, { port, ip = '127.0.0.1', kind = 'plaintext', deadlineMs = 0n }] of jobs.entries()) {
        const jobId = ids[index]!;
        const address = { address: { case: 'internet' as const, value: { ip, port } } };
        const job = create(DrillJobSchema, { jobId, endpointId: 'endpoint_1', endpointName: 'orders', kinds: [kind], address, deadlineMs });
        control.drills.push({ name: jobId, version: '1', octets: toBinary(DrillJobSchema, job) });
      }
      control.changes.drills.notify();
      return ids;
    },
    resultOf: async (jobId: string) => {
      const { drills } = await control.report((report) => report.drills.some((drill) => drill.jobId === jobId));
      return drills.find((drill) => drill.jobId === jobId)!;
    },
    async [Symbol.asyncDispose]() {
      await scanner[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
    },
  };
}

/** An endpoint that holds every connection until it is told to let one go. */
async function openHolder() {
  const held: Socket[] = [];
  let most = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    held.push(socket);
    most = Math.max(most, held.length);
    server.emit('held');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => server.close());
  return {
    port: (server.address() as AddressInfo).port,
    most: () => most,
    async untilHeld(count: number): Promise<void> {
      while (held.length < count) await once(server, 'held');
    },
    letGo: () => held.shift()!.end(),
  };
}

test('a job that waits holds up no other, but never more than four are fired beside each other', async () => {
  await using prober = await openProber();
  const slow = await openHolder();
  prober.give(Array.from({ length: 6 }, () => ({ port: slow.port })));
  await slow.untilHeld(4);
  const quick = await openHolder();
  const [last] = prober.give([{ port: quick.port }]);
  for (let index = 0; index < 6; index++) {
    await slow.untilHeld(1);
    slow.letGo();
  }
  await quick.untilHeld(1);
  quick.letGo();
  assert.equal((await prober.resultOf(last!)).seen, 'closed');
  assert.equal(slow.most(), 4);
});

test('a job that cannot be run ends with what was seen, and the next one is run', async () => {
  await using prober = await openProber();
  const endpoint = await openHolder();
  // This control plane issues nothing to a prober.
  const failing = prober.give(Array.from({ length: 5 }, () => ({ port: endpoint.port, kind: POSITIVE_DRILL })));
  for (const id of failing) assert.match((await prober.resultOf(id)).seen, /^error:/);
  const [good] = prober.give([{ port: endpoint.port }]);
  await endpoint.untilHeld(1);
  endpoint.letGo();
  assert.equal((await prober.resultOf(good!)).seen, 'closed');
});

test('a job that points outside of the permitted ranges is refused, and one that came too late is not run', async () => {
  await using prober = await openProber();
  const endpoint = await openHolder();
  const [outside, late, good] = prober.give([
    { port: endpoint.port, ip: '192.0.2.1' },
    { port: endpoint.port, deadlineMs: 1n },
    { port: endpoint.port },
  ]);
  const refused = await prober.control.acknowledgement(DRILL_JOB_TYPE, ({ refusal }) => refusal !== undefined);
  assert.match(refused.refusal!, /192\.0\.2\.1 is outside of the permitted ranges/);
  await endpoint.untilHeld(1);
  endpoint.letGo();
  assert.equal((await prober.resultOf(good!)).seen, 'closed');
  const fired = prober.control.reports.flatMap(({ drills }) => drills.map(({ jobId }) => jobId));
  assert.ok(!fired.includes(outside!) && !fired.includes(late!), fired.join(' '));
});
