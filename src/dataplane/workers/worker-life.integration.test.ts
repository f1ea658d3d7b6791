import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, BoundSocket, connect } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ManualClock } from '../../platform/clock/clock.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { REVOKED_SET_TYPE, SETTINGS_TYPE } from '../../core/messages/type-urls.ts';
import { callInClear, callOverTls, clientOptions, ENDPOINT, inboundTo, loopback, requestText } from '../../../test/support/proxy-lab.ts';
import { startTestControlPlane, type TestControlPlane, TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';
import { unusedPort } from '../../../test/support/worker-lab.ts';

const CALLER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/storefront`);
const OK = /^HTTP\/1\.1 200 /;
const origin = createServer((request, response) => void request.resume().on('end', () => response.end('ok')));
await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
after(() => {
  origin.close();
  origin.closeAllConnections();
});

type Started = AsyncDisposable & {
  readonly program: ChildProcess;
  readonly port: number;
  readonly caller: ReturnType<typeof clientOptions>;
};

/** `countersign proxy` with two workers, with settings in force. */
async function start(control: TestControlPlane, port: number, inherited?: BoundSocket): Promise<Started> {
  const { state, proxyId, spiffeId } = await control.joined('orders');
  control.scope.serves.add(ENDPOINT);
  const inbound = inboundTo((origin.address() as AddressInfo).port, 'enforce', {
    listen: loopback(port),
    probeSpiffeId: '',
    callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: CALLER, mode: 3 }],
  });
  control.setSettings(proxyId, spiffeId, 1n, { inbound: [inbound], telemetryIntervalMs: 100 });
  const main = join(import.meta.dirname, '../../cli/main.ts');
  const where = ['--state', state.path, '--control', `127.0.0.1:${control.port}`];
  const program = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, 'proxy', '--workers', '2', ...where], {
    stdio: ['ignore', 'ignore', 'ignore', ...(inherited === undefined ? [] : [inherited.fd()])],
    env: { ...process.env, ...(inherited === undefined ? {} : { LISTEN_FDS: '1' }) },
  });
  const { refusal } = await control.acknowledgement(SETTINGS_TYPE);
  assert.equal(refusal, undefined);
  return {
    program,
    port,
    caller: clientOptions(control.enrol(CALLER, proxyId)),
    async [Symbol.asyncDispose]() {
      if (program.exitCode !== null || program.signalCode !== null) return;
      program.kill('SIGKILL');
      await once(program, 'exit');
    },
  };
}

test('a proxy of several workers acknowledges for all of them, reports for all of them, and ends with all of them', async () => {
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  await using running = await start(control, unusedPort());
  const { program, port, caller } = running;
  const workers = await childrenOf(program.pid!);
  assert.equal(workers.length, 2);
  for (let turn = 0; turn < 8; turn++) assert.match((await callOverTls(port, caller)).text, OK);
  for (let turn = 0; turn < 8; turn++) assert.equal(await callInClear(port), '');
  await control.report(() => {
    const counts = control.reports.flatMap((report) => report.counts);
    const sum = (outcome: Outcome, unit: Unit): bigint =>
      counts.filter((count) => count.outcome === outcome && count.unit === unit).reduce((total, { count }) => total + count, 0n);
    return sum(Outcome.ACCEPTED, Unit.CALL) === 8n && sum(Outcome.REFUSED, Unit.CONNECTION) === 8n;
  });
  // What a prober sent first is found in the report, whichever worker took it.
  const sent = createHash('sha256').update(requestText().slice(0, 64)).digest('hex');
  const fingerprints = control.reports.flatMap(({ refusals }) => refusals.map(({ firstOctetsSha256 }) => hexOf(firstOctetsSha256)));
  assert.deepEqual(
    fingerprints,
    Array.from({ length: 8 }, () => sent),
  );
  control.revoked.suspendedSpiffeIds.push(CALLER);
  const before = control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length;
  await control.revokedChanged();
  await control.acknowledgement(
    REVOKED_SET_TYPE,
    () => control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length > before,
  );
  for (let turn = 0; turn < 8; turn++) assert.equal((await callOverTls(port, caller)).text, '');
  const ended = once(program, 'exit');
  program.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
  for (const pid of workers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('workers do not outlive the proxy that made them', async () => {
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  await using running = await start(control, unusedPort());
  const { program, port } = running;
  const workers = await childrenOf(program.pid!);
  assert.equal(workers.length, 2);
  program.kill('SIGKILL');
  await once(program, 'exit');
  for (const pid of workers) await untilGone(pid);
  await assert.rejects(connected(port), { code: 'ECONNREFUSED' });
});

test('a socket that the proxy was given is taken over by all workers, and closed when nothing names it any more', async () => {
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  const inherited = new BoundSocket({ host: '127.0.0.1', port: 0 });
  const { port } = inherited.address() as AddressInfo;
  await using running = await start(control, port, inherited);
  const { program, caller } = running;
  for (let turn = 0; turn < 8; turn++) assert.match((await callOverTls(port, caller)).text, OK);
  inherited.close();
  const [workers, [proxyId, settings]] = [await childrenOf(program.pid!), [...control.settings][0]!];
  process.kill(workers[0]!, 'SIGKILL');
  for (let turn = 0; turn < 8; turn++) assert.match((await callOverTls(port, caller)).text, OK);
  control.setSettings(proxyId as never, settings.spiffeId as never, 2n, { inbound: [] });
  await control.acknowledgement(SETTINGS_TYPE, () => control.acknowledged.filter(({ typeUrl }) => typeUrl === SETTINGS_TYPE).length > 1);
  // The worker that starts anew has the socket until it hears that nothing names it.
  while (await connected(port).catch(() => false));
  const ended = once(program, 'exit');
  program.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
});

function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  return (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').map(Number);
}

/** It is no child of this process, so nothing tells of its end. */
async function untilGone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function connected(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
  return true;
}
