import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { after, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { CallerRuleSchema, Mode, Origination, SocketAddressSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, type TelemetryReport, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { openEnvoyBeside, startOrigin, until } from '../../../test/support/companion-lab.ts';
import { withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { callInClear, clientOptions, ENDPOINT, inboundTo, loopback, outboundTo } from '../../../test/support/proxy-lab.ts';
import { countLines } from '../../../test/support/report-lines.ts';
import { TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';
import { adminClient } from './admin-client.ts';

const CALLER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/storefront`);
const OTHER = 'endpoint_01j00000000000000000000019';
const WIDTH_MS = 200;
const MOST_CALLS = 5_000;

/** An Envoy whose way to its companion can be disturbed, with one open door, to which callers prove themselves, and one way out. */
async function openDisturbed(origin: number) {
  const beside = await openEnvoyBeside();
  const [port, out] = [await freePort(), await freePort()];
  const relay = await beside.startEnvoyBehindRelay();
  const rule = { pathId: 'path_01j00000000000000000000000', spiffeId: CALLER, mode: Mode.PERMISSIVE };
  const made = inboundTo(origin, 'permissive', { callers: [create(CallerRuleSchema, rule)] });
  const applied = await beside.apply(1n, {
    telemetryIntervalMs: WIDTH_MS,
    inbound: [Object.assign(made, { listen: create(SocketAddressSchema, loopback(port)) })],
    outbound: [outboundTo([origin], Origination.PLAINTEXT, { endpointId: OTHER, listen: loopback(out) })],
  });
  assert.equal(applied.refusal, undefined);
  const agent = new Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false });
  const options = { ...clientOptions(beside.control.enrol(CALLER, beside.proxyId)), agent, host: '127.0.0.1', port };
  const call = async (path: string): Promise<void> => {
    const asked = request({ ...options, path, headers: { host: 'orders' } });
    asked.end();
    const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream];
    await once(response.resume(), 'end');
  };
  return {
    beside,
    relay,
    port,
    out,
    admin: adminClient(beside.places.adminPath),
    /** So many calls; resolves with when the first began and the last ended. */
    async call(times: number, path = '/'): Promise<{ readonly from: number; readonly to: number }> {
      const from = Date.now();
      for (let done = 0; done < times; done += 4) await Promise.all([1, 2, 3, 4].map(() => call(path)));
      return { from, to: Date.now() };
    },
    counted: () => countLines(beside.control.reports, ENDPOINT),
    countedOut: () => countLines(beside.control.reports, OTHER),
    async [Symbol.asyncDispose]() {
      agent.destroy();
      await beside[Symbol.asyncDispose]();
    },
  };
}

const CALLS = 'RECEIVER storefront MTLS CALL ACCEPTED';
/** What nobody told of may have been nobody's. */
const MARK = 'RECEIVER TLS CONNECTION WOULD_REFUSE no-certificate';
const MARK_OUT = 'CALLER orders PLAINTEXT CONNECTION WOULD_REFUSE plaintext';

/** Calls that were counted in windows that overlap this time. */
function callsWithin(reports: readonly TelemetryReport[], { from, to }: { readonly from: number; readonly to: number }): number {
  return reports
    .filter(({ windowStartMs, windowEndMs }) => Number(windowStartMs) <= to && Number(windowEndMs) > from)
    .flatMap(({ counts }) => counts)
    .filter(({ unit, outcome }) => unit === Unit.CALL && outcome === Outcome.ACCEPTED)
    .reduce((sum, { count }) => sum + Number(count), 0);
}

describe('logs of an Envoy that are late or lost', { skip: withoutEnvoy }, async () => {
  const origin = await startOrigin();
  after(() => origin.close());

  test('late ones count in the window of their call, and none as lost', async () => {
    await using disturbed = await openDisturbed(origin.port);
    const { beside, relay } = disturbed;
    await disturbed.call(4);
    await beside.reportedUntil(Date.now());
    const before = beside.control.reports.length;
    relay.hold();
    const [first, second] = [
      await disturbed.call(16),
      await (async () => {
        // In another window.
        const later = Date.now() + WIDTH_MS;
        await until('it is later', () => (Date.now() > later ? true : null));
        return disturbed.call(8);
      })(),
    ];
    const windowOver = second.to + WIDTH_MS;
    await until('its window is over', () => (Date.now() > windowOver ? true : null));
    // Of nothing of this was told yet, so nothing is reported.
    assert.equal(callsWithin(beside.control.reports.slice(before), first), 0);
    relay.letGo();
    await beside.reportedUntil(second.to);
    assert.deepEqual([callsWithin(beside.control.reports, first), callsWithin(beside.control.reports, second)], [16, 8]);
    assert.equal(disturbed.counted()[CALLS], 28);
    assert.equal(disturbed.counted()[MARK], undefined);
    assert.equal(
      beside.control.logged.some(({ event }) => event === 'access logs of envoy are lost'),
      false,
    );
  });

  test('what Envoy drops, as nobody takes it, holds the gate of every open door and way out that it may have been of', async (context) => {
    await using disturbed = await openDisturbed(origin.port);
    const { beside, relay, admin } = disturbed;
    await callInClear(disturbed.out);
    await disturbed.call(4);
    await beside.reportedUntil(Date.now());
    assert.deepEqual([disturbed.counted()[MARK], disturbed.countedOut()[MARK_OUT]], [undefined, undefined]);
    relay.hold();
    const dropped = async (): Promise<number> => (await admin.counters('logs_dropped')).get('access_logs.grpc_access_log.logs_dropped')!;
    let made = 4;
    // Entries of 12 kB: what lies between the two is full after some hundred.
    while ((await dropped()) === 0 && made < MOST_CALLS) {
      await disturbed.call(100, `/${'x'.repeat(12_000)}`);
      made += 100;
    }
    assert.ok((await dropped()) > 0);
    relay.letGo();
    await until('the marks', () =>
      disturbed.counted()[MARK] !== undefined && disturbed.countedOut()[MARK_OUT] !== undefined ? true : null,
    );
    await beside.reportedUntil(Date.now());
    assert.ok(disturbed.counted()[CALLS]! < made, `${disturbed.counted()[CALLS]} of ${made}`);
    context.diagnostic(`${disturbed.counted()[CALLS]} of ${made} calls were told of`);
    const [said] = beside.control.logged.filter(({ event }) => event === 'access logs of envoy are lost');
    assert.ok((said!.fields['entries'] as number) > 0);
  });

  test('what a broken stream took with it is missed, once, and what comes after it counts as ever', async () => {
    await using disturbed = await openDisturbed(origin.port);
    const { beside, relay, admin } = disturbed;
    await disturbed.call(4);
    await beside.reportedUntil(Date.now());
    relay.hold();
    const sent = async (): Promise<number> =>
      (await admin.counters('entries_flushed')).get('access_logs.grpc_access_log.grpc_entries_flushed')!;
    const sentBefore = await sent();
    await disturbed.call(8);
    await until('Envoy has sent them', async () => ((await sent()) >= sentBefore + 8 ? true : null));
    relay.cut();
    relay.letGo();
    await until('the mark', () => (disturbed.counted()[MARK] !== undefined ? true : null));
    const marks = disturbed.counted()[MARK]!;
    const counted = disturbed.counted()[CALLS]!;
    assert.ok(counted <= 4);
    await disturbed.call(12);
    await until('calls after it', () => (disturbed.counted()[CALLS] === counted + 12 ? true : null));
    await beside.reportedUntil(Date.now());
    assert.equal(disturbed.counted()[MARK], marks);
  });

  test('no call is lost and none told twice over a rotation, a control plane that restarts and a companion that is told late', async () => {
    await using disturbed = await openDisturbed(origin.port);
    const { beside, relay } = disturbed;
    const { control } = beside;
    const done = new AbortController();
    let made = 0;
    const calling = (async () => {
      while (!done.signal.aborted) {
        await disturbed.call(4);
        made += 4;
      }
    })();
    await beside.companion.link.renew();
    relay.hold();
    await control.stop();
    const { reports } = control;
    const before = reports.length;
    await until('some calls', () => (made > 100 ? true : null));
    relay.letGo();
    await control.start();
    await until('reports after it', () => (reports.length > before + 2 ? true : null));
    done.abort();
    await calling;
    await until(`${made} calls`, () => (disturbed.counted()[CALLS]! >= made ? true : null));
    await beside.reportedUntil(Date.now());
    assert.equal(disturbed.counted()[CALLS], made);
    assert.equal(disturbed.counted()[MARK], undefined);
    const ends = reports.map(({ windowStartMs, windowEndMs }) => [windowStartMs, windowEndMs] as const);
    assert.equal(
      ends.some(([start], at) => at > 0 && start !== ends[at - 1]![1]),
      false,
    );
  });
});
