import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { parseSpiffeId, probeSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import { Channel, Outcome, Side, TelemetryReportSchema, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { DAY_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import type { StagedEntry } from '../audit/entry.ts';
import type { ReportSender } from './admit-report.ts';
import { ingestReport, openTelemetryIngest } from './ingest-report.ts';
import { pruneTelemetry } from './prune-telemetry.ts';
import {
  findRefusals,
  readDrillResults,
  readExceptedUse,
  readLatestReports,
  readOpenConnections,
  readRefusals,
  readServedCertificates,
  readWindow,
} from './read-telemetry.ts';

type ReportInit = MessageInitShape<typeof TelemetryReportSchema>;

/** A minute's start, so that seconds are easy to read. */
const now = 1_800_000_000_000;
const environment = 'prod';
const orders = 'endpoint_00000000000000000000000001' as EntityId<'endpoint'>;
const payments = 'endpoint_00000000000000000000000002' as EntityId<'endpoint'>;
const foreign = 'endpoint_00000000000000000000000003' as EntityId<'endpoint'>;
const carriedOn: EntityId<'endpoint'> = 'endpoint_01j00000000000000000000009';
const none: ReadonlySet<EntityId<'endpoint'>> = new Set();
const shop = parseSpiffeId('spiffe://acme.example/prod/shop');
const sender: ReportSender = {
  proxyId: 'proxy_00000000000000000000000001',
  spiffeId: parseSpiffeId('spiffe://acme.example/prod/orders'),
  environment,
};
const prober: ReportSender = {
  proxyId: 'proxy_00000000000000000000000009',
  spiffeId: probeSpiffeId(parseTrustDomain('acme.example'), 'prod'),
  environment,
};

/** Orders' proxy serves orders and calls payments. */
async function open(url: string) {
  const entries: StagedEntry['entry'][] = [];
  let commits = 0;
  const database = await openDatabase<StagedEntry>({
    url,
    seal: async (_queries, staged) => void entries.push(...staged.map(({ entry }) => entry)),
  });
  const scopes = new Map([
    [sender.proxyId, { region: 'eu', serves: new Set([orders]), carries: new Set([carriedOn]), calls: new Set([payments]) }],
    [prober.proxyId, { region: 'eu', serves: none, carries: none, calls: none }],
  ]);
  const changed = makeSignal();
  const ingest = openTelemetryIngest({
    database: { ...database, queries: database.queries, commit: (unit) => (commits++, database.commit(unit)) },
    readScopes: async () => scopes,
    changed,
  });
  let sequence = 0n;
  return {
    database,
    queries: database.queries,
    entries,
    scopes,
    changed,
    commits: () => commits,
    report: (init: ReportInit, at = now, by = sender) =>
      ingestReport(
        ingest,
        by,
        create(TelemetryReportSchema, {
          bootId: 'boot',
          sequence: ++sequence,
          windowStartMs: BigInt(at - 250),
          windowEndMs: BigInt(at),
          ...init,
        }),
        at,
      ),
    window: (from = now - 10_000, to = now + 10_000) => readWindow(database.queries, { scope: '*', from, to }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

const received = {
  side: Side.RECEIVER,
  endpointId: orders,
  caller: shop,
  generation: 1n,
  channel: Channel.MTLS,
  unit: Unit.CALL,
  outcome: Outcome.ACCEPTED,
  count: 5n,
};

forEachDatabase('control/telemetry', (newUrl) => {
  test('counts of several reports add up in their bucket', async () => {
    await using control = await open(await newUrl());
    await Promise.all([control.report({ counts: [received] }), control.report({ counts: [received, received] })]);
    await control.report({ counts: [received] });
    assert.deepEqual(
      (await control.window()).map((row) => ({ ...row })),
      [
        {
          endpoint_id: orders,
          side: 'receiver',
          caller: shop,
          channel: 'mtls',
          unit: 'call',
          outcome: 'accepted',
          reason: '',
          exception: '',
          total: 20,
          first_at: now - 1_000,
          last_at: now,
        },
      ],
    );
  });

  test('what an exception let in is counted by its name, and is never somebody', async () => {
    await using control = await open(await newUrl());
    const excepted = { ...received, caller: '', channel: Channel.PLAINTEXT, outcome: Outcome.EXCEPTED, exception: 'kubelet' };
    const wrong: ReportInit['counts'] = [
      { ...excepted, exception: '' },
      { ...excepted, exception: 'A name' },
      { ...excepted, caller: shop },
      { ...excepted, channel: Channel.MTLS },
      { ...excepted, side: Side.CALLER, endpointId: payments },
    ];
    const { dropped } = await control.report({ counts: [excepted, excepted, { ...excepted, exception: 'prometheus' }, ...wrong] });
    assert.equal(dropped, wrong.length);
    await control.report({ counts: [{ ...received, exception: 'kubelet' }] });
    const rows = async () =>
      (await control.window(now - DAY_MS, now + DAY_MS))
        .map(({ outcome, reason, exception, total }) => [outcome, reason, exception, total])
        .toSorted();
    const expected = [
      ['accepted', '', '', 5],
      ['excepted', '', 'kubelet', 10],
      ['excepted', '', 'prometheus', 5],
    ];
    assert.deepEqual(await rows(), expected);
    await pruneTelemetry(control, now + 2 * 60 * MINUTE_MS);
    assert.deepEqual(await rows(), expected, 'minutes hold what seconds held');
    const used = async (from: number) =>
      (await readExceptedUse(control.queries, [environment], from))
        .map(({ exception, unit, total }) => [exception, unit, total])
        .toSorted();
    assert.deepEqual(await used(now - DAY_MS), [
      ['kubelet', 'call', 10],
      ['prometheus', 'call', 5],
    ]);
    assert.deepEqual(await used(now + DAY_MS), []);
    assert.deepEqual(await readExceptedUse(control.queries, ['stage'], 0), []);
  });

  test('reports that come together share commits', async () => {
    await using control = await open(await newUrl());
    await Promise.all(Array.from({ length: 50 }, () => control.report({ counts: [received] })));
    assert.equal((await control.window())[0]!.total, 250);
    assert.ok(control.commits() <= 3, `${control.commits()} commits`);
  });

  test('a report is counted once, and acknowledged as often as it is sent', async () => {
    await using control = await open(await newUrl());
    const first = await control.report({ sequence: 7n, counts: [received] });
    const again = await Promise.all([1, 2, 3].map(() => control.report({ sequence: 7n, counts: [received] })));
    assert.deepEqual([first.acknowledged, first.duplicate], [7, false]);
    assert.deepEqual(
      again.map(({ acknowledged, duplicate }) => [acknowledged, duplicate]),
      [
        [7, true],
        [7, true],
        [7, true],
      ],
    );
    assert.equal((await control.window())[0]!.total, 5);
  });

  test('another boot counts its sequence anew', async () => {
    await using control = await open(await newUrl());
    await control.report({ sequence: 7n, counts: [received] });
    await control.report({ sequence: 1n, bootId: 'second', counts: [received] });
    assert.equal((await control.window())[0]!.total, 10);
  });

  test('what a proxy neither serves nor calls is refused, named and logged once a minute', async () => {
    await using control = await open(await newUrl());
    const bad: ReportInit = {
      counts: [received, { ...received, endpointId: foreign }, { ...received, endpointId: payments }],
      open: [{ side: Side.CALLER, endpointId: orders, channel: Channel.PLAINTEXT, count: 3 }],
      refusals: [{ endpointId: payments, reason: 'plaintext', firstOctetsSha256: new Uint8Array(32) }],
      served: [{ endpointId: payments, issuerKeySha256: new Uint8Array(32), serial: new Uint8Array([1]), notAfterMs: 1n }],
      drills: [{ jobId: 'drill_1', endpointId: orders, kind: 'expired' }],
    };
    const result = await control.report(bad);
    assert.deepEqual(
      result.refused.map(({ endpointId, part }) => `${part} ${endpointId}`),
      [`counts ${foreign}`, `counts ${payments}`, `open ${orders}`, `refusals ${payments}`, `served ${payments}`, `drills ${orders}`],
    );
    await control.report(bad, now + 1_000);
    assert.equal(
      (await control.window()).reduce((sum, { total }) => sum + total, 0),
      10,
    );
    assert.deepEqual(await readRefusals(control.queries, { environment, limit: 10 }), []);
    assert.deepEqual(await readServedCertificates(control.queries, environment), []);
    assert.deepEqual(await readOpenConnections(control.queries, [environment]), []);
    assert.deepEqual(
      control.entries.map(({ type }) => type),
      ['telemetry.refused'],
    );
  });

  test('whoever passes TLS through may say that it did, and nothing of who called', async () => {
    await using control = await open(await newUrl());
    const passed = { ...received, endpointId: carriedOn, caller: '', channel: Channel.PASSTHROUGH };
    const open_ = { side: Side.RECEIVER, endpointId: carriedOn, count: 2 };
    const told = await control.report({ counts: [passed], open: [{ ...open_, channel: Channel.PASSTHROUGH }] });
    assert.deepEqual(told.refused, []);
    const forged = await control.report({
      counts: [
        { ...received, endpointId: carriedOn },
        { ...passed, endpointId: orders },
      ],
      open: [{ ...open_, channel: Channel.MTLS }],
      refusals: [{ endpointId: carriedOn, reason: 'plaintext', firstOctetsSha256: new Uint8Array(32) }],
      served: [{ endpointId: carriedOn, issuerKeySha256: new Uint8Array(32), serial: new Uint8Array([1]), notAfterMs: 1n }],
    });
    assert.deepEqual(
      forged.refused.map(({ part }) => part),
      ['counts', 'counts', 'open', 'refusals', 'served'],
    );
    assert.deepEqual(
      (await control.window()).map(({ channel, caller }) => [channel, caller]),
      [['passthrough', '']],
    );
  });

  test('a proxy that inventory does not know may report nothing', async () => {
    await using control = await open(await newUrl());
    control.scopes.delete(sender.proxyId);
    assert.equal((await control.report({ counts: [received] })).refused.length, 1);
    assert.deepEqual(await control.window(), []);
  });

  test('an endpoint that was given to the proxy a moment ago is not refused', async () => {
    await using control = await open(await newUrl());
    await control.report({ counts: [received] });
    control.scopes.set(sender.proxyId, { region: 'eu', serves: new Set([orders, foreign]), carries: new Set(), calls: new Set() });
    assert.deepEqual((await control.report({ counts: [{ ...received, endpointId: foreign }] })).refused, []);
  });

  test('a caller counts under its own identity, whatever it writes', async () => {
    await using control = await open(await newUrl());
    await control.report({ counts: [{ ...received, side: Side.CALLER, endpointId: payments, caller: shop }] });
    assert.equal((await control.window())[0]!.caller, sender.spiffeId);
  });

  test('what is not of the closed sets is dropped and counted as dropped', async () => {
    await using control = await open(await newUrl());
    const { dropped } = await control.report({
      counts: [
        { ...received, caller: 'shop' },
        { ...received, outcome: Outcome.FAILED, reason: 'because' },
        { ...received, outcome: Outcome.FAILED, reason: '' },
        { ...received, channel: 99 as Channel },
        { ...received, side: Side.UNSPECIFIED },
        { ...received, count: 0n },
        { ...received, count: 2n ** 63n },
        { ...received, endpointId: "endpoint_1' or 1=1" },
      ],
      refusals: [
        { endpointId: orders, reason: 'because' },
        { endpointId: orders, reason: 'plaintext', serial: new Uint8Array(99) },
      ],
      served: [{ endpointId: orders, serial: new Uint8Array(0) }],
    });
    assert.equal(dropped, 11);
    assert.deepEqual(await control.window(), []);
  });

  for (const [what, init] of [
    ['without a boot id', { bootId: '' }],
    ['with a boot id of 101 characters', { bootId: 'b'.repeat(101) }],
    ['with sequence 0', { sequence: 0n }],
    ['with a sequence beyond counting', { sequence: 2n ** 63n }],
  ] as const) {
    test(`a report ${what} is refused`, async () => {
      await using control = await open(await newUrl());
      await assert.rejects(control.report(init), { code: 'input-invalid' });
    });
  }

  test('open connections are those of the latest report', async () => {
    await using control = await open(await newUrl());
    const plaintext = { side: Side.RECEIVER, endpointId: orders, channel: Channel.PLAINTEXT, count: 4 };
    await control.report({ open: [plaintext, { ...plaintext, channel: Channel.MTLS, caller: shop, count: 2 }] });
    await control.report({ open: [{ ...plaintext, count: 1 }] });
    assert.deepEqual(
      (await readOpenConnections(control.queries, [environment])).map(({ channel, count, caller }) => [channel, count, caller]),
      [['plaintext', 1, '']],
    );
    await control.report({});
    assert.deepEqual(await readOpenConnections(control.queries, [environment]), []);
  });

  test('a backlog is counted when it happened, by a clock that runs apart', async () => {
    await using control = await open(await newUrl());
    const skew = 3_600_000;
    await control.report({ windowEndMs: BigInt(now + skew) });
    await control.report({ windowEndMs: BigInt(now + skew + 5_000), counts: [received] }, now + 60_000);
    assert.deepEqual(
      (await control.window(now, now + 100_000)).map(({ first_at }) => first_at),
      [now + 4_000],
    );
  });

  test('a window of a second counts in its own second, however long its reports are under way; of a wider one, at its end', async () => {
    await using control = await open(await newUrl());
    for (const [index, delay] of [300, 5, 440, 120].entries()) {
      const end = now + (index + 1) * 1_000;
      await control.report(
        { windowStartMs: BigInt(end - 1_000), windowEndMs: BigInt(end), counts: [{ ...received, count: BigInt(index + 1) }] },
        end + delay,
      );
    }
    for (const second of [0, 1, 2, 3]) {
      const at = now + second * 1_000;
      assert.deepEqual(
        (await control.window(at, at + 1_000)).map(({ total }) => total),
        [second + 1],
      );
    }
    const end = now + 60_000;
    await control.report({ windowStartMs: BigInt(end - 30_000), windowEndMs: BigInt(end), counts: [received] }, end + 100);
    assert.equal((await control.window(end - 1_000, end)).length, 1);
    assert.equal((await control.window(end - 30_000, end - 1_000)).length, 0);
  });

  test('a report from the future or from long ago does not leave the time that is looked at', async () => {
    await using control = await open(await newUrl());
    await control.report({ windowEndMs: 0n, counts: [received] });
    await control.report({ bootId: 'b2', windowEndMs: BigInt(now + DAY_MS) });
    await control.report({ bootId: 'b2', windowEndMs: BigInt(now + 3 * DAY_MS), counts: [received] });
    for (const { first_at, last_at } of await control.window(now - DAY_MS, now + DAY_MS)) {
      assert.ok(first_at >= now - 16 * MINUTE_MS && last_at <= now + 1_000);
    }
  });

  test('a refusal of which no octets were told is found by its address, and who tells octets is held to these', async () => {
    await using control = await open(await newUrl());
    const refusal = { endpointId: orders, atMs: BigInt(now), reason: 'expired', caller: '', remoteAddress: '10.0.0.9:40000' };
    await control.report({
      refusals: [
        refusal,
        { ...refusal, firstOctetsSha256: new Uint8Array(32).fill(1) },
        { ...refusal, remoteAddress: '10.0.0.9:' },
        { ...refusal, remoteAddress: '[::1]:40000' },
      ],
    });
    const found = await findRefusals(control.queries, { firstOctetsSha256: [''], addresses: ['10.0.0.9:40000', '10.0.0.9:', ''] });
    assert.deepEqual(
      found.map(({ remote_address, first_octets_sha256 }) => [remote_address, first_octets_sha256]),
      [['10.0.0.9:40000', '']],
    );
    assert.equal((await findRefusals(control.queries, { firstOctetsSha256: [], addresses: ['[::1]:40000'] })).length, 1);
  });

  test('a window holds the buckets that touch it and no other', async () => {
    await using control = await open(await newUrl());
    for (let second = 0; second < 10; second++) await control.report({ counts: [received] }, now + 500 + second * 1_000);
    assert.equal((await control.window(now + 2_000, now + 5_000))[0]!.total, 15);
    assert.equal((await control.window(now + 2_900, now + 5_000))[0]!.total, 15);
    assert.equal((await control.window(now + 3_000, now + 5_001))[0]!.total, 15);
    assert.deepEqual(await readWindow(control.queries, { scope: ['test'], from: 0, to: now * 2 }), []);
  });

  test('a refusal is found by the first octets of its connection', async () => {
    await using control = await open(await newUrl());
    const digest = new Uint8Array(32).fill(0xab);
    const refusal = {
      endpointId: orders,
      atMs: BigInt(now),
      reason: 'revoked',
      firstOctetsSha256: digest,
      caller: shop,
      serial: new Uint8Array([1, 255]),
      resumed: true,
      octetsForwarded: 0n,
    };
    await control.report({ refusals: [refusal, { ...refusal, firstOctetsSha256: new Uint8Array(32) }], refusalsDropped: 3n });
    const found = await findRefusals(control.queries, { firstOctetsSha256: ['ab'.repeat(32)], addresses: [] });
    assert.deepEqual(
      found.map(({ reason, serial, resumed, octets_forwarded }) => [reason, serial, resumed, octets_forwarded]),
      [['revoked', '01ff', 1, 0]],
    );
    assert.deepEqual(await findRefusals(control.queries, { firstOctetsSha256: [], addresses: [] }), []);
    assert.deepEqual(await findRefusals(control.queries, { firstOctetsSha256: ['ac'.repeat(32)], addresses: [] }), []);
    assert.equal((await readLatestReports(control.queries, [environment])).get(sender.proxyId)!.refusals_dropped, 3);
  });

  test('the latest served certificate of a proxy is kept', async () => {
    await using control = await open(await newUrl());
    const served = { endpointId: orders, issuerKeySha256: new Uint8Array(32), notAfterMs: BigInt(now + DAY_MS) };
    await control.report({ served: [{ ...served, serial: new Uint8Array([1]) }] });
    await control.report({
      served: [
        { ...served, serial: new Uint8Array([2]) },
        { ...served, serial: new Uint8Array([3]) },
      ],
    });
    assert.deepEqual(
      (await readServedCertificates(control.queries, environment)).map(({ serial }) => serial),
      ['03'],
    );
  });

  test('the first result of a drill stands, and only the prober has one', async () => {
    await using control = await open(await newUrl());
    const drill = { jobId: 'drill_1', endpointId: orders, kind: 'expired', atMs: BigInt(now), octetsSent: 100n, seen: 'closed' };
    await control.report({ drills: [drill] }, now, prober);
    await control.report({ drills: [{ ...drill, octetsAnswered: 5n }] }, now, prober);
    assert.deepEqual(
      (await readDrillResults(control.queries, ['drill_1'])).map(({ octets_answered, kind }) => [kind, octets_answered]),
      [['expired', 0]],
    );
  });

  test('the latest report of a proxy tells its generation, of whichever boot', async () => {
    await using control = await open(await newUrl());
    await control.report({ generation: 4n }, now);
    await control.report({ generation: 5n, bootId: 'second', revokedSequence: 8n }, now + 500);
    const latest = (await readLatestReports(control.queries, [environment])).get(sender.proxyId)!;
    assert.deepEqual([latest.generation, latest.last_report_at, latest.revoked_sequence], [5, now + 500, 8]);
  });

  test('old seconds become minutes without losing a count, and what is too old goes', async () => {
    await using control = await open(await newUrl());
    for (let second = 0; second < 130; second += 10) await control.report({ counts: [received] }, now + 500 + second * 1_000);
    const later = now + 40 * MINUTE_MS;
    await pruneTelemetry(control, later);
    await pruneTelemetry(control, later);
    const [row] = await control.window(now, later);
    assert.deepEqual([row!.total, row!.first_at, row!.last_at], [65, now, now + 3 * MINUTE_MS]);
    const stored = await control.queries
      .withTables<{ telemetry_counts: { width_ms: number } }>()
      .selectFrom('telemetry_counts')
      .select('width_ms')
      .execute();
    assert.deepEqual(
      stored.map(({ width_ms }) => width_ms),
      [60_000, 60_000, 60_000],
    );
    await pruneTelemetry(control, now + 91 * DAY_MS);
    assert.deepEqual(await control.window(0, now + 100 * DAY_MS), []);
    assert.equal((await readLatestReports(control.queries, [environment])).size, 0);
  });

  test('refusals are bounded by number', async () => {
    await using control = await open(await newUrl());
    for (let second = 0; second < 5; second++)
      await control.report({ refusals: [{ endpointId: orders, reason: 'plaintext' }] }, now + second * 1_000);
    await pruneTelemetry({ ...control, retention: { secondsMs: 1, countsMs: DAY_MS, recordsMs: DAY_MS, maxRefusals: 2 } }, now + 5_000);
    assert.deepEqual(
      (await readRefusals(control.queries, { environment, limit: 10 })).map(({ received_at }) => received_at),
      [now + 4_000, now + 3_000],
    );
  });
});
