import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { compileEnvoy } from '../../core/envoy/compile-envoy.ts';
import { preflight } from '../../core/envoy/preflight.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import {
  CallerRuleSchema,
  type Inbound,
  Mode,
  Plane,
  ProxySettingsSchema,
  SocketAddressSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { SETTINGS_TYPE } from '../../core/messages/type-urls.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { startOrigin, until } from '../../../test/support/companion-lab.ts';
import { startEnvoy, withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { clientOptions, inboundTo, requestText } from '../../../test/support/proxy-lab.ts';
import { startTestControlPlane, TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';

const CALLER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/storefront`);
const STRANGER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/stranger`);
const ENDPOINTS = 200;
/** Five resources each: listener, routes, cluster, its endpoints, and whom to trust. */
const RESOURCES = 1_000;
/** A companion of an empty Envoy has some 90. */
const MAXIMUM_MB = 400;

function hostOf(number: number): string {
  return `127.9.${Math.floor(number / 200)}.${(number % 200) + 1}`;
}

/** Each at an address of its own, with its own callers. */
function inbound(number: number, { port, service }: { readonly port: number; readonly service: number }, callers = 5): Inbound {
  const rules = Array.from({ length: callers }, (_, index) =>
    create(CallerRuleSchema, {
      pathId: `path_01j000000000000000000${String(number * 10 + index).padStart(5, '0')}`,
      spiffeId: index === 0 ? CALLER : `spiffe://${TRUST_DOMAIN}/prod/caller-${number}-${index}`,
      mode: Mode.ENFORCE,
    }),
  );
  const endpointId = `endpoint_01j000000000000000000${String(number).padStart(5, '0')}`;
  const made = inboundTo(service, 'enforce', { callers: rules, endpointId, endpointName: `e${number}` });
  const internet = { case: 'internet' as const, value: { ip: hostOf(number), port } };
  return Object.assign(made, { listen: create(SocketAddressSchema, { address: internet }) });
}

/** A real control plane's protocols, and the program that a companion is, with an Envoy beside it. */
async function openCompanionProcess() {
  const control = await startTestControlPlane({
    clock: new ManualClock(Date.now()),
    envoy: {
      compile: compileEnvoy,
      preflight: (resources) =>
        preflight(Date.now(), resources).map(({ resource: { typeUrl, name }, reason }) => ({ typeUrl, name, reason })),
    },
  });
  const { state, proxyId, spiffeId } = await control.joined('orders');
  const folder = await mkdtemp(join(tmpdir(), 'countersign-many-'));
  const bootstrap = join(folder, 'envoy.json');
  const main = join(import.meta.dirname, '../../cli/main.ts');
  const places = ['--envoy-sds', `unix:${join(folder, 'sds.sock')}`, '--envoy-bootstrap', bootstrap];
  const args = ['proxy', '--state', state.path, '--control', `127.0.0.1:${control.port}`, ...places];
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const ended = once(child, 'exit');
  await until('its bootstrap', () => (existsSync(bootstrap) ? true : null));
  const envoy = startEnvoy(bootstrap);
  return {
    control,
    proxyId,
    spiffeId,
    envoy,
    pid: child.pid!,
    /** Resolves when it is in force: on a machine that is busy the companion may say first that it is not yet. */
    async apply(generation: bigint, ports: readonly Inbound[]): Promise<void> {
      for (const { endpointId } of ports) control.scope.serves.add(endpointId);
      control.setSettings(proxyId, spiffeId, generation, {
        trustDomain: TRUST_DOMAIN,
        plane: Plane.ENVOY,
        inbound: [...ports],
        telemetryIntervalMs: 1_000,
      });
      await control.acknowledgement(SETTINGS_TYPE, ({ version, refusal }) => version === generation.toString() && refusal === undefined);
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await ended;
      await envoy[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
      await rm(state.path, { recursive: true });
    },
  };
}

/** Of a process so far, in seconds of one core, and the most memory that it ever had. */
function usageOf(pid: number): { readonly cpu: number; readonly mostMb: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const most = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
  // utime and stime, in hundredths of a second.
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, mostMb: Number(most) / 1_024 };
}

async function statusAt(host: string, port: number, options: object): Promise<string> {
  const socket = connectTls({ ...options, host, port, rejectUnauthorized: false });
  socket.on('error', () => {});
  socket.write(requestText());
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => (text += more));
  await new Promise((resolve) => socket.on('close', resolve));
  return text.split('\r\n')[0]!;
}

describe('a companion whose Envoy has very much to run', { skip: withoutEnvoy }, async () => {
  const origin = await startOrigin();
  after(() => origin.close());

  test(
    'acknowledges a thousand resources once they are in force, and one change of them, within its memory',
    { timeout: 120_000 },
    async (context) => {
      await using beside = await openCompanionProcess();
      const { control, pid } = beside;
      const place = { port: await freePort(), service: origin.port };
      const ports = Array.from({ length: ENDPOINTS }, (_, number) => inbound(number, place));
      const settings = create(ProxySettingsSchema, {
        generation: 1n,
        spiffeId: beside.spiffeId,
        trustDomain: TRUST_DOMAIN,
        inbound: ports,
      });
      const compiled = compileEnvoy({ settings, trust: [control.bundle], revoked: control.revoked, crls: new Map() });
      assert.ok(Object.values(compiled).flat().length >= RESOURCES);

      await beside.apply(1n, [ports[0]!]);
      const usage = [usageOf(pid)];
      const steps = async (work: Promise<void>): Promise<void> => {
        const begun = performance.now();
        await work;
        usage.push(usageOf(pid));
        context.diagnostic(`${((performance.now() - begun) / 1_000).toFixed(2)} s`);
      };
      await steps(beside.apply(2n, ports));
      const [caller, stranger] = [CALLER, STRANGER].map((id) => clientOptions(control.enrol(id, beside.proxyId)));
      const tried = [0, 1, ENDPOINTS / 2, ENDPOINTS - 2, ENDPOINTS - 1];
      for (const number of tried) {
        assert.match(await statusAt(hostOf(number), place.port, caller!), / 200 /);
        assert.equal(await statusAt(hostOf(number), place.port, stranger!), '');
        assert.equal(await statusAt(hostOf(number), place.port, {}), '');
      }
      // One of them lets one more in.
      await steps(beside.apply(3n, [...ports.slice(0, -1), inbound(ENDPOINTS - 1, place, 6)]));
      const told = () => {
        const counts = control.reports.flatMap((report) => report.counts);
        const sum = (unit: Unit, outcome: Outcome): number =>
          counts.filter((one) => one.unit === unit && one.outcome === outcome).reduce((total, { count }) => total + Number(count), 0);
        return [sum(Unit.CALL, Outcome.ACCEPTED), sum(Unit.CONNECTION, Outcome.REFUSED)];
      };
      await until('what was done', () => (told()[0] === tried.length && told()[1] === 2 * tried.length ? true : null));
      const before = control.reports.length;
      await until('five quiet reports', () => (control.reports.length >= before + 5 ? true : null));
      usage.push(usageOf(pid));
      assert.equal(control.reports.at(-1)!.generation, 3n);
      assert.equal(control.reports.at(-1)!.served.length, ENDPOINTS);
      const cpu = usage.slice(1).map((one, at) => (one.cpu - usage[at]!.cpu).toFixed(2));
      const { mostMb } = usage.at(-1)!;
      context.diagnostic(
        `CPU of the companion: all ${cpu[0]} s, one ${cpu[1]} s, calls and five reports ${cpu[2]} s; ${mostMb.toFixed(0)} MB`,
      );
      context.diagnostic(`before ${usage[0]!.cpu} s ${usage[0]!.mostMb.toFixed(0)} MB; Envoy ${JSON.stringify(usageOf(beside.envoy.pid))}`);
      assert.ok(mostMb < MAXIMUM_MB, `${mostMb} MB`);
    },
  );
});
