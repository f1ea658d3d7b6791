import { type ChildProcess, fork, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestControlPlane, type TestControlPlane } from '../test/support/test-control-plane.ts';
import { calls, named, serves } from '../test/support/sdk-lab.ts';
import { ManualClock } from '../src/platform/clock/clock.ts';
import { writeEnvoyPair } from './envoy-pair.ts';
import type { Axis, Contender } from './measurement.ts';
import { readUsage } from './process-usage.ts';
import { freePort, nextMessage, stopProgram, untilAnswered } from './program.ts';
import type { CallerOrder, CallerReport } from './sdk-caller.ts';
import type { ReceiverOrder } from './sdk-receiver.ts';

/** One Node service calls another, 32 calls in flight, a small JSON answer; CPU time is that of all processes between both handlers. */
export const sdkAxis: Axis = {
  name: 'sdk',
  meaning: 'service to service: calls a second, CPU time a call over all processes, median time, with 32 in flight',
  contenders: async () => [
    contender('countersign-sdk', null, startSdkPair),
    contender('two-envoy-sidecars', existsSync(ENVOY) ? null : 'not installed (npm run peers -- bench)', startEnvoyPair),
    contender('plain-http', null, startPlainPair),
  ],
};

type Pair = { readonly caller: ChildProcess; readonly processes: readonly ChildProcess[]; readonly close?: () => Promise<void> };

function contender(name: string, absent: string | null, start: (folder: string) => Promise<Pair>): Contender {
  return {
    name,
    absent: () => absent,
    async measure() {
      const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
      const pair = await start(folder);
      try {
        await callFor(pair.caller, WARM_MS);
        const before = cpuOf(pair);
        const { answered, wallMs, p50Ms } = await callFor(pair.caller, MEASURED_MS);
        const cpuMs = cpuOf(pair) - before;
        return [
          { metric: 'requests_per_s', unit: '1/s', value: (answered * 1_000) / wallMs },
          { metric: 'call_cpu_us', unit: 'µs', value: (cpuMs * 1_000) / answered },
          { metric: 'p50_ms', unit: 'ms', value: p50Ms },
        ];
      } finally {
        for (const child of pair.processes) await stopProgram(child);
        await pair.close?.();
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** Each service with the SDK inside, under an enforced path of a real control plane, to which it reports every second. */
async function startSdkPair(): Promise<Pair> {
  const control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  const port = await freePort();
  const [stock, orders] = [await joinAs(control, 'stock'), await joinAs(control, 'orders')];
  const settings = { telemetryIntervalMs: 1_000 };
  control.setSettings(stock.proxyId, named('stock'), 1n, { ...settings, inbound: [serves('stock', 'enforce')] });
  control.setSettings(orders.proxyId, named('orders'), 1n, { ...settings, outbound: [calls('stock', [port])] });
  const at = `127.0.0.1:${control.port}`;
  const receiver = await startProgram('sdk-receiver.ts', {
    kind: 'sdk',
    control: at,
    state: stock.state.path,
    port,
  } satisfies ReceiverOrder);
  const caller = await startProgram('sdk-caller.ts', { kind: 'sdk', control: at, state: orders.state.path } satisfies CallerOrder);
  return { caller, processes: [caller, receiver], close: () => control[Symbol.asyncDispose]() };
}

async function joinAs(control: TestControlPlane, name: string) {
  for (const scope of [control.scope.serves, control.scope.calls]) scope.add(serves(name, 'enforce').endpointId);
  return control.joined(name);
}

async function startPlainPair(): Promise<Pair> {
  const port = await freePort();
  const receiver = await startProgram('sdk-receiver.ts', { kind: 'plain', port } satisfies ReceiverOrder);
  const caller = await startProgram('sdk-caller.ts', { kind: 'plain', origin: `http://127.0.0.1:${port}` } satisfies CallerOrder);
  return { caller, processes: [caller, receiver] };
}

/** The same services in plaintext, each with an Envoy beside it, mutual TLS between the two. */
async function startEnvoyPair(folder: string): Promise<Pair> {
  const ports = { service: await freePort(), ingress: await freePort(), egress: await freePort() };
  const receiver = await startProgram('sdk-receiver.ts', { kind: 'plain', port: ports.service } satisfies ReceiverOrder);
  const envoys = (await writeEnvoyPair(folder, ports)).map((config, id) =>
    spawn(ENVOY, ['-c', config, '--base-id', String(BASE_ID + id), '--disable-hot-restart', '--concurrency', '1', '-l', 'error'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  );
  const origin = `http://127.0.0.1:${ports.egress}`;
  await untilAnswered(origin, envoys[0]!);
  const caller = await startProgram('sdk-caller.ts', { kind: 'plain', origin } satisfies CallerOrder);
  return { caller, processes: [caller, ...envoys, receiver] };
}

/** Starts a program of this folder; resolves when it says that it is ready. */
async function startProgram(file: string, order: object): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, file), { execArgv: ['--disable-warning=ExperimentalWarning'] });
  child.send(order);
  await nextMessage(child);
  return child;
}

async function callFor(caller: ChildProcess, milliseconds: number): Promise<CallerReport> {
  caller.send({ milliseconds });
  return (await nextMessage(caller)) as CallerReport;
}

function cpuOf({ processes }: Pair): number {
  return processes.reduce((sum, { pid }) => sum + readUsage(pid!).cpuMs, 0);
}

const ENVOY = join(import.meta.dirname, '../.test/peers/envoy/bin/envoy');
const BASE_ID = 7_100;
const WARM_MS = 2_000;
const MEASURED_MS = 6_000;
