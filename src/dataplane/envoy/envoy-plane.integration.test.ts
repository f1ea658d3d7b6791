import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { after, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import {
  CallerRuleSchema,
  CallRateSchema,
  type Inbound,
  Mode,
  Origination,
  SocketAddressSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import {
  Channel,
  Outcome,
  type PathCount,
  Side,
  type TelemetryReport,
  Unit,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { REVOKED_SET_TYPE, SETTINGS_TYPE } from '../../core/messages/type-urls.ts';
import { openEnvoyBeside, startOrigin, until } from '../../../test/support/companion-lab.ts';
import { withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { callInClear, callOverTls, clientOptions, ENDPOINT, inboundTo, loopback, outboundTo } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';

const CALLER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/storefront`);
const STRANGER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/stranger`);
const PROBE = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/countersign/probe`);
const HOUR_MS = 3_600_000;

type Beside = Awaited<ReturnType<typeof openEnvoyBeside>>;

function inbound(origin: number, port: number, mode: 'permissive' | 'enforce', more: Partial<Inbound> = {}): Inbound {
  const rule = { pathId: 'path_01j00000000000000000000000', spiffeId: CALLER, mode: mode === 'enforce' ? Mode.ENFORCE : Mode.PERMISSIVE };
  const callers = [create(CallerRuleSchema, rule)];
  const made = inboundTo(origin, mode, { probeSpiffeId: PROBE, callers });
  return Object.assign(made, { listen: create(SocketAddressSchema, loopback(port)) }, more);
}

function credentialOf(
  beside: Beside,
  spiffeId: Parameters<Beside['control']['enrol']>[0],
  leaf: Parameters<Beside['control']['enrol']>[2] = {},
) {
  return clientOptions(beside.control.enrol(spiffeId, beside.proxyId, leaf));
}

/** Counts of everything that was reported so far, as lines. */
function linesOf(reports: readonly TelemetryReport[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const count of reports.flatMap(({ counts }) => counts))
    sums.set(lineOf(count), (sums.get(lineOf(count)) ?? 0) + Number(count.count));
  return sums;
}

function lineOf({ side, caller, channel, unit, outcome, reason }: PathCount): string {
  const who = caller.slice(caller.lastIndexOf('/') + 1);
  const words = [wordOf(Side, side), who, wordOf(Channel, channel), wordOf(Unit, unit), wordOf(Outcome, outcome), reason];
  return words.filter((word) => word !== '').join(' ');
}

function wordOf(words: Readonly<Record<string, number>>, number: number): string {
  return Object.entries(words).find(([, value]) => value === number)?.[0] ?? '?';
}

/** Waits until all of this was reported. */
function untilReported(beside: Beside, lines: readonly string[]): Promise<ReadonlyMap<string, number>> {
  return until(lines.join(', '), () => {
    const found = linesOf(beside.control.reports);
    return lines.every((line) => found.has(line)) ? found : null;
  });
}

/** A connection that stays, with one call on it after another. */
function keepConnection(port: number, options: object): TLSSocket {
  return connectTls({ ...options, port, host: '127.0.0.1', rejectUnauthorized: false }).on('error', () => {});
}

async function callOn(socket: TLSSocket): Promise<string> {
  if (socket.destroyed) return 'closed';
  const settled = Promise.race([
    once(socket, 'data').then(([octets]) => String(octets).split('\r\n')[0]!),
    once(socket, 'close').then(() => 'closed'),
  ]);
  socket.write('GET /kept HTTP/1.1\r\nhost: orders\r\n\r\n');
  return settled;
}

describe('a proxy whose traffic an Envoy carries', { skip: withoutEnvoy }, async () => {
  const origin = await startOrigin();
  after(() => origin.close());

  test('is in force when Envoy runs it, tells who came and why they were refused, and acts on a suspension within a second', async () => {
    await using beside = await openEnvoyBeside();
    const { control } = beside;
    const port = await freePort();
    beside.startEnvoy();
    assert.equal((await beside.apply(1n, { inbound: [inbound(origin.port, port, 'enforce')] })).refusal, undefined);
    const caller = credentialOf(beside, CALLER);
    const foreign = makeTestAuthority(Date.now(), 'Foreign').issue({ uris: [CALLER] });
    assert.match((await callOverTls(port, caller)).text, /^HTTP\/1\.1 200 /);
    const probed = await callOverTls(port, credentialOf(beside, PROBE));
    assert.match(probed.text, /^HTTP\/1\.1 (?:200|404) /);
    const refused = [
      await callInClear(port),
      (await callOverTls(port, { rejectUnauthorized: false })).text,
      (await callOverTls(port, credentialOf(beside, STRANGER))).text,
      (await callOverTls(port, clientOptions(foreign))).text,
      (await callOverTls(port, credentialOf(beside, CALLER, { notBefore: Date.now() - 2 * HOUR_MS, notAfter: Date.now() - HOUR_MS }))).text,
      (await callOverTls(port, credentialOf(beside, CALLER, { notBefore: Date.now() + HOUR_MS, notAfter: Date.now() + 2 * HOUR_MS }))).text,
      (await callOverTls(port, credentialOf(beside, CALLER, { usages: ['server'] }))).text,
    ];
    assert.deepEqual(
      refused.filter((text) => text !== ''),
      [],
    );
    const expected = [
      'RECEIVER storefront MTLS CALL ACCEPTED',
      'RECEIVER storefront MTLS CONNECTION ACCEPTED',
      'RECEIVER PLAINTEXT CONNECTION REFUSED plaintext',
      'RECEIVER TLS CONNECTION REFUSED no-certificate',
      'RECEIVER stranger MTLS CONNECTION REFUSED wrong-identity',
      'RECEIVER TLS CONNECTION REFUSED unknown-authority',
      'RECEIVER TLS CONNECTION REFUSED expired',
      'RECEIVER TLS CONNECTION REFUSED not-yet-valid',
      'RECEIVER TLS CONNECTION REFUSED wrong-usage',
    ];
    const found = await untilReported(beside, expected);
    // Neither the probe nor our own handshakes are traffic.
    assert.deepEqual([...found].toSorted(), expected.map((line) => [line, 1]).toSorted());
    const refusals = control.reports.flatMap((report) => report.refusals);
    assert.equal(refusals.length, 7);
    for (const refusal of refusals) {
      assert.match(refusal.remoteAddress, /^127\.0\.0\.1:\d+$/);
      assert.equal(refusal.firstOctetsSha256.length, 0);
    }
    assert.equal(origin.asked.filter((path) => path.includes('probe')).length, 0);

    const kept = keepConnection(port, caller);
    assert.equal(await callOn(kept), 'HTTP/1.1 200 OK');
    const open = await beside.reportOf((report) =>
      report.open.some(({ count, channel, caller: who }) => count === 1 && channel === Channel.MTLS && who !== ''),
    );
    assert.deepEqual(
      open.open.map(({ endpointId, caller: who }) => [endpointId, who]),
      [[ENDPOINT, CALLER]],
    );
    assert.equal(open.generation, 1n);
    const before = control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length;
    control.revoked.suspendedSpiffeIds.push(CALLER);
    await control.revokedChanged();
    const revocations = () => control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length;
    await control.acknowledgement(REVOKED_SET_TYPE, () => revocations() > before);
    // From its acknowledgement on nobody is let in by it, on whatever connection.
    assert.doesNotMatch(await callOn(kept), / 200 /);
    kept.destroy();
    assert.equal((await callOverTls(port, caller)).text, '');
    await untilReported(beside, [
      'RECEIVER storefront MTLS CALL REFUSED suspended',
      'RECEIVER storefront MTLS CONNECTION REFUSED suspended',
    ]);
  });

  test('behind an open door refuses nobody, and says what enforcement would do', async () => {
    await using beside = await openEnvoyBeside();
    const port = await freePort();
    beside.startEnvoy();
    assert.equal((await beside.apply(1n, { inbound: [inbound(origin.port, port, 'permissive')] })).refusal, undefined);
    const foreign = makeTestAuthority(Date.now(), 'Foreign').issue({ uris: [CALLER] });
    for (const text of [
      await callInClear(port),
      (await callOverTls(port, { rejectUnauthorized: false })).text,
      (await callOverTls(port, credentialOf(beside, CALLER))).text,
      (await callOverTls(port, credentialOf(beside, STRANGER))).text,
      (await callOverTls(port, clientOptions(foreign))).text,
    ]) {
      assert.match(text, /^HTTP\/1\.1 200 /);
    }
    const found = await untilReported(beside, [
      'RECEIVER PLAINTEXT CALL WOULD_REFUSE plaintext',
      'RECEIVER TLS CALL WOULD_REFUSE no-certificate',
      'RECEIVER storefront MTLS CALL ACCEPTED',
      'RECEIVER stranger MTLS CALL WOULD_REFUSE wrong-identity',
      'RECEIVER TLS CALL WOULD_REFUSE unknown-authority',
    ]);
    assert.equal(
      [...found.keys()].some((line) => line.includes('REFUSED') || line.includes('FAILED')),
      false,
    );
    // What was done under it is told under it, though it is known a moment later.
    assert.equal((await beside.apply(2n, { inbound: [inbound(origin.port, port, 'enforce')] })).refusal, undefined);
    assert.equal(await callInClear(port), '');
    await untilReported(beside, ['RECEIVER PLAINTEXT CONNECTION REFUSED plaintext']);
    const refused = beside.control.reports.flatMap(({ counts }) => counts).find(({ outcome }) => outcome === Outcome.REFUSED)!;
    assert.equal(refused.generation, 2n);
  });

  test('a certificate is renewed when Envoy serves it; Envoy, companion and both come back to where they were', async () => {
    await using beside = await openEnvoyBeside();
    const { control } = beside;
    const port = await freePort();
    beside.startEnvoy();
    await beside.apply(1n, { inbound: [inbound(origin.port, port, 'enforce')] });
    const caller = credentialOf(beside, CALLER);
    const serialNow = async (): Promise<string> => {
      const socket = keepConnection(port, caller);
      await once(socket, 'secureConnect');
      const serial = socket.getPeerX509Certificate()!.serialNumber.toLowerCase();
      socket.destroy();
      return serial;
    };
    const first = await serialNow();
    await beside.companion.link.renew();
    const second = await serialNow();
    assert.notEqual(second, first);
    const served = await beside.reportOf((report) => report.served.some(({ serial }) => Buffer.from(serial).toString('hex') === second));
    assert.equal(served.generation, 1n);

    await beside.restartCompanion();
    assert.match((await callOverTls(port, caller)).text, /^HTTP\/1\.1 200 /);
    await beside.reportOf(({ generation }) => generation === 1n);

    await beside.killEnvoy();
    // Nobody says of an Envoy that is gone what it runs.
    await beside.reportOf(({ generation, served: list }) => generation === 0n && list.length === 0);
    beside.startEnvoy();
    await beside.reportOf(({ generation }) => generation === 1n);
    assert.match((await callOverTls(port, caller)).text, /^HTTP\/1\.1 200 /);
    assert.equal(await serialNow(), second);

    await control.stop();
    assert.match((await callOverTls(port, caller)).text, /^HTTP\/1\.1 200 /);
    await control.start();
  });

  test('settings that Envoy does not run are refused with its own reason, others go on, and they are acknowledged once it does', async () => {
    await using beside = await openEnvoyBeside(4_000);
    const { control } = beside;
    const [port, taken] = [await freePort(), await freePort()];
    const native = await beside.apply(1n, { plane: 0, inbound: [inbound(origin.port, port, 'enforce')] });
    assert.match(native.refusal!, /they are for native/);
    const absent = await beside.apply(2n, { inbound: [inbound(origin.port, port, 'enforce')] });
    assert.match(absent.refusal!, /Envoy is not there/);
    beside.startEnvoy();
    // It is asked for again by itself.
    await control.acknowledgement(SETTINGS_TYPE, ({ version, refusal }) => version === '2' && refusal === undefined);
    const blocker = createServer().listen(taken, '127.0.0.1');
    await once(blocker, 'listening');
    const other = inbound(origin.port, taken, 'enforce', { endpointId: 'endpoint_01j00000000000000000000001', endpointName: 'other' });
    const blocked = await beside.apply(3n, { inbound: [inbound(origin.port, port, 'enforce'), other] });
    assert.match(blocked.refusal!, /cannot bind|Address already in use/i);
    assert.match((await callOverTls(port, credentialOf(beside, CALLER))).text, /^HTTP\/1\.1 200 /);
    const objected = await beside.apply(4n, {
      inbound: [inbound(origin.port, port, 'enforce', { callerRate: create(CallRateSchema, { perSecond: 1, burst: 1 }) })],
    });
    assert.match(objected.refusal!, /http\.rates\.caller/);
    blocker.close();
    assert.equal((await beside.apply(5n, { inbound: [inbound(origin.port, port, 'enforce')] })).refusal, undefined);
  });

  test('the caller’s side counts what it sent, and what failed by its reason', async () => {
    await using beside = await openEnvoyBeside();
    const [server, nobody, listen, dead, mistaken] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const path = { listen: loopback(listen), serverSpiffeId: beside.spiffeId, endpointId: 'endpoint_01j00000000000000000000002' };
    const missing = { listen: loopback(dead), serverSpiffeId: STRANGER, endpointId: 'endpoint_01j00000000000000000000003' };
    const wrong = { listen: loopback(mistaken), serverSpiffeId: STRANGER, endpointId: 'endpoint_01j00000000000000000000004' };
    beside.startEnvoy();
    const serving = inbound(origin.port, server, 'enforce', {
      callers: [create(CallerRuleSchema, { pathId: 'path_01j00000000000000000000000', spiffeId: beside.spiffeId, mode: 3 })],
    });
    const applied = await beside.apply(1n, {
      inbound: [serving],
      outbound: [
        outboundTo([server], Origination.MTLS, path),
        outboundTo([nobody], Origination.MTLS, missing),
        outboundTo([server], Origination.MTLS, wrong),
      ],
    });
    assert.equal(applied.refusal, undefined);
    assert.match(await callInClear(listen), /^HTTP\/1\.1 200 /);
    assert.match(await callInClear(dead), /^HTTP\/1\.1 503 /);
    await untilReported(beside, [
      'CALLER orders MTLS CALL ACCEPTED',
      'RECEIVER orders MTLS CALL ACCEPTED',
      'CALLER orders MTLS CALL FAILED upstream-unreachable',
      'CALLER orders MTLS CONNECTION FAILED upstream-unreachable',
    ]);
    const open = await beside.reportOf((report) => report.open.some(({ side }) => side === Side.CALLER));
    assert.equal(open.open.find(({ side }) => side === Side.CALLER)!.channel, Channel.MTLS);
    // A server that is somebody else is never called.
    assert.match(await callInClear(mistaken), /^HTTP\/1\.1 503 /);
    await untilReported(beside, ['CALLER orders MTLS CALL FAILED wrong-identity']);
  });
});
