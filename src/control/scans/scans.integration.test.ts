import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ada, joinRequest, openTestAuthorities, place, trustDomain } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type DrillRunKind, drillReasons, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { probeSpiffeId, serviceSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { issueCertificate } from '../ca/issue-certificate.ts';
import { applyDeclaration } from '../inventory/apply-declaration.ts';
import { parseDeclaration } from '../inventory/parse-declaration.ts';
import { listDeclaredProxies, listEndpoints, listPaths } from '../inventory/store.ts';
import { insertRollout, putPathStates, type RolloutRecord } from '../rollouts/store.ts';
import { addDrillResults, addRefusals, type DrillResultRow, type RefusalRow } from '../telemetry/store.ts';
import { orderDrills } from './order-drills.ts';
import { drillRunKinds, readDrillFacts, readDrillRun, readLatestDrills } from './read-drills.ts';
import { reconcile } from './reconcile.ts';
import { type DrillJobRecord, findJob, listOpenJobs } from './store.ts';

const START: Instant = 1_800_000_000_000;
const { environment } = place;
const DEADLINE_MS = 60 * SECOND_MS;
const refusedKinds = drillRunKinds.filter((kind) => kind !== POSITIVE_DRILL);

/** Two endpoints, `orders` at two addresses, and one of somebody else's. */
const declarations = [
  'kind: Service\nname: shop\nowner: ada',
  'kind: Service\nname: orders\nowner: ada',
  endpoint('orders', '["127.0.0.1:8101", "127.0.0.1:8102"]'),
  endpoint('refunds', '["127.0.0.1:8103"]'),
  proxy('orders-1', 8101, 'orders'),
  proxy('orders-2', 8102, 'orders'),
  proxy('refunds-1', 8103, 'refunds'),
];

function endpoint(name: string, addresses: string): string {
  return `kind: Endpoint\nname: ${name}\nservice: orders\nprotocol: http\naddresses: ${addresses}\nowner: ada\nallowedCallers: [shop]`;
}

function proxy(name: string, port: number, of: string): string {
  const inbound = `{endpoint: ${of}, listen: "127.0.0.1:${port}", upstream: "127.0.0.1:${port + 1_000}"}`;
  return `kind: Proxy\nname: ${name}\nservice: orders\nrole: sidecar\ninbound: [${inbound}]`;
}

async function open(url: string) {
  const ca = await openTestAuthorities(url, START);
  const { database, changed } = ca;
  const { queries } = database;
  const text = declarations.map((one) => `apiVersion: countersign/v1\n${one}\n`).join('---\n');
  await applyDeclaration({ database, place: { trustDomain, ...place }, changed }, parseDeclaration(text), ada, START);
  const endpoints = new Map((await listEndpoints(queries, [environment])).map(({ name, id }) => [name, id]));
  const proxies = new Map((await listDeclaredProxies(queries, [environment])).map(({ name, id }) => [name, id]));
  const rollout: RolloutRecord = {
    rolloutId: newEntityId('rollout', START),
    name: 'all',
    ...place,
    status: 'running',
    lastStepId: null,
    revision: 1,
  };
  await database.commit((unit) => insertRollout(unit.queries, rollout, START));
  let notified = 0;
  let reports = 0;
  const deps = { database, changed: { notify: () => void notified++, subscribe: changed.subscribe } };
  return {
    ...ca,
    queries,
    endpointId: (name: string) => endpoints.get(name)!,
    notified: () => notified,
    reconcile: (now: Instant) => reconcile(deps, environment, now),
    order: (names: readonly string[], now: Instant) =>
      orderDrills(deps, { environment, endpointIds: names.map((name) => endpoints.get(name)!), reason: 'asked' }, ada, now),
    /** A certificate for a declared proxy, as its renewal makes it. Answers with its serial, hex. */
    async renew(name: string, now: Instant): Promise<string> {
      const id = proxies.get(name)!;
      return (await issueCertificate(ca, joinRequest({ proxyId: id }), now)).serialHex;
    },
    /** Puts every path of an endpoint into a stage of its rollout. */
    async stage(name: string, stage: 'originate' | 'enforce' | 'proven', settledAt: Instant | null): Promise<void> {
      const paths = (await listPaths(queries, [environment])).filter(({ endpointId }) => endpointId === endpoints.get(name));
      const caller = serviceSpiffeId(trustDomain, environment, 'shop');
      const usual = { caller, wave: 0, since: START, latchedAt: null, weakening: null, setback: null };
      const states = paths.map(({ id, endpointId }) => ({ ...usual, pathId: id, endpointId, stage, settledAt }));
      await database.commit((unit) => putPathStates(unit.queries, rollout, states));
    },
    /** What the prober saw of one shot; the usual is what a right endpoint shows. */
    report: (job: DrillJobRecord, kind: DrillRunKind, change: Partial<DrillResultRow> = {}) =>
      database.commit((unit) => addDrillResults(unit.queries, [{ ...resultOf(job, kind), ...change }])),
    /** What the proxy logged of the same connection. */
    refuse: (job: DrillJobRecord, kind: DrillRunKind, change: Partial<RefusalRow> = {}) =>
      database.commit((unit) => addRefusals(unit.queries, [{ ...refusalOf(job, kind, reports++), ...change }])),
    logged: (type: 'drill.ordered' | 'drill.judged') => ca.entriesOf(type).map(({ data }) => data),
    [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose](),
  };
}

type Scans = Awaited<ReturnType<typeof open>>;

function digestOf(job: DrillJobRecord, kind: DrillRunKind): string {
  return createHash('sha256').update(`${job.id} ${kind}`).digest('hex');
}

function resultOf(job: DrillJobRecord, kind: DrillRunKind): DrillResultRow {
  const isPositive = kind === POSITIVE_DRILL;
  return {
    ...place,
    job_id: job.id,
    endpoint_id: job.endpointId,
    kind,
    proxy_id: newEntityId('proxy', START),
    at: START,
    received_at: START,
    first_octets_sha256: digestOf(job, kind),
    octets_sent: 500,
    octets_answered: isPositive ? 40 : 0,
    seen: isPositive ? 'answered' : 'closed',
    presented_serial: '',
    served_serial: '',
    resumed: Number(kind === 'revoked-then-resumed'),
    local_address: '',
    offered_session: Number(kind === 'revoked-then-resumed'),
  };
}

/** Each shot comes from a port of its own. */
function addressOf(kind: DrillRunKind): string {
  return `127.0.0.1:${50_000 + drillRunKinds.indexOf(kind)}`;
}

function refusalOf(job: DrillJobRecord, kind: DrillRunKind, position: number): RefusalRow {
  if (kind === POSITIVE_DRILL) throw new Error('nobody refuses the good handshake');
  return {
    ...place,
    proxy_id: newEntityId('proxy', START),
    boot_id: 'boot',
    sequence: 1,
    position,
    endpoint_id: job.endpointId,
    at: START,
    received_at: START,
    first_octets_sha256: digestOf(job, kind),
    reason: drillReasons[kind],
    caller: probeSpiffeId(trustDomain, environment),
    issuer_key_sha256: '',
    serial: '',
    resumed: 0,
    octets_forwarded: 0,
    remote_address: '',
  };
}

/** Reports every shot of a job as a right endpoint shows it, but for the kinds left out. */
async function reportAll(scans: Scans, job: DrillJobRecord, serial: string, without: readonly DrillRunKind[] = []): Promise<void> {
  for (const kind of drillRunKinds.filter((candidate) => !without.includes(candidate))) {
    await scans.report(job, kind, kind === POSITIVE_DRILL ? { served_serial: serial } : {});
    if (kind !== POSITIVE_DRILL) await scans.refuse(job, kind);
  }
}

async function verdictsOf(scans: Scans, runId: EntityId<'drill'>): Promise<Record<string, string>> {
  const run = await readDrillRun(scans.queries, runId);
  return Object.fromEntries(
    run!.jobs.flatMap(({ verdicts }) => verdicts.map(({ kind, proven, because }) => [kind, proven ? 'proven' : because])),
  );
}

forEachDatabase('control/scans', (newUrl) => {
  test('an order makes one job for each address, logged, and nothing of endpoints that are unknown', async () => {
    await using scans = await open(await newUrl());
    const { runId, jobs } = await scans.order(['orders', 'no such endpoint'], START);
    assert.deepEqual(jobs.map(({ address }) => address).toSorted(), ['127.0.0.1:8101', '127.0.0.1:8102']);
    assert.ok(jobs.every((job) => job.runId === runId && job.deadlineAt === START + DEADLINE_MS && job.protocol === 'http'));
    assert.deepEqual(await listOpenJobs(scans.queries, environment), jobs);
    assert.deepEqual(await listOpenJobs(scans.queries, 'elsewhere'), []);
    assert.deepEqual(await listOpenJobs(scans.queries, null), jobs);
    const { reason, endpoint: name, addresses } = scans.logged('drill.ordered')[0]!;
    assert.deepEqual([reason, name, addresses], ['asked', 'orders', ['127.0.0.1:8101', '127.0.0.1:8102']]);
    assert.equal(scans.notified(), 1);
  });

  test('an order for nothing wakes nobody and logs nothing', async () => {
    await using scans = await open(await newUrl());
    const { runId, jobs } = await scans.order([], START);
    assert.deepEqual([jobs.length, scans.notified(), scans.logged('drill.ordered').length], [0, 0, 0]);
    assert.equal(await readDrillRun(scans.queries, runId), null);
  });

  test('a proxy that is told no octets is believed by address and time, and the refusal of another connection proves nothing', async () => {
    await using scans = await open(await newUrl());
    const serial = await scans.renew('refunds-1', START);
    const { runId, jobs } = await scans.order(['refunds'], START);
    const job = jobs[0]!;
    // The word on these is about another port, another time, another endpoint, another certificate.
    const foreign: Partial<Record<DrillRunKind, Partial<RefusalRow>>> = {
      expired: { remote_address: '127.0.0.1:49999' },
      revoked: { at: START - 60_000 },
      'wrong-usage': { endpoint_id: scans.endpointId('orders') },
      'wrong-identity': { serial: '02' },
    };
    for (const kind of drillRunKinds) {
      const shown = { local_address: addressOf(kind), presented_serial: '01', resumed: 0 };
      await scans.report(job, kind, kind === POSITIVE_DRILL ? { served_serial: serial } : shown);
      if (kind !== POSITIVE_DRILL) {
        await scans.refuse(job, kind, { first_octets_sha256: '', remote_address: addressOf(kind), serial: '01', ...foreign[kind] });
      }
    }
    await scans.reconcile(START + 1);
    const proven = drillRunKinds.filter((kind) => !Object.hasOwn(foreign, kind));
    assert.deepEqual(await verdictsOf(scans, runId), Object.fromEntries(proven.map((kind) => [kind, 'proven'])));
    await scans.reconcile(START + DEADLINE_MS + 1);
    for (const kind of Object.keys(foreign)) {
      assert.equal((await verdictsOf(scans, runId))[kind], 'the proxy logged no refusal of this connection', kind);
    }
  });

  test('a run whose every shot is as it must be is proven, closed and logged once', async () => {
    await using scans = await open(await newUrl());
    const serial = await scans.renew('refunds-1', START);
    const { runId, jobs } = await scans.order(['refunds'], START);
    await reportAll(scans, jobs[0]!, serial);
    await scans.reconcile(START + 1);
    assert.deepEqual(await verdictsOf(scans, runId), Object.fromEntries(drillRunKinds.map((kind) => [kind, 'proven'])));
    assert.equal((await readDrillRun(scans.queries, runId))?.closed, true);
    assert.equal((await findJob(scans.queries, jobs[0]!.id))?.closedAt, START + 1);
    const facts = (await readDrillFacts(scans.queries, environment)).get(scans.endpointId('refunds'))!;
    assert.equal(facts.startedAt, START);
    assert.ok([...facts.verdicts.values()].every(({ kind }) => kind === 'proven'));
    await scans.reconcile(START + 2);
    assert.deepEqual(
      scans.logged('drill.judged').map((data) => [data['proven'], data['endpoint']]),
      [[true, 'refunds']],
    );
  });

  test('one that is answered, refused for another reason, seen by the service, or not sent, has failed', async () => {
    await using scans = await open(await newUrl());
    const serial = await scans.renew('refunds-1', START);
    const { runId, jobs } = await scans.order(['refunds'], START);
    const job = jobs[0]!;
    const faulty: DrillRunKind[] = ['no-certificate', 'expired', 'plaintext', 'revoked', 'revoked-then-resumed', 'wrong-usage'];
    await reportAll(scans, job, serial, faulty);
    await scans.report(job, 'no-certificate', { octets_answered: 12, seen: 'answered' });
    await scans.refuse(job, 'no-certificate');
    await scans.report(job, 'expired');
    await scans.refuse(job, 'expired', { reason: 'unknown-authority' });
    await scans.report(job, 'plaintext');
    await scans.refuse(job, 'plaintext', { octets_forwarded: 3 });
    await scans.report(job, 'revoked', { octets_sent: 63, first_octets_sha256: '' });
    await scans.report(job, 'revoked-then-resumed', { resumed: 0 });
    await scans.refuse(job, 'revoked-then-resumed');
    await scans.report(job, 'wrong-usage', { seen: 'error:issuance-refused', octets_sent: 0, first_octets_sha256: '' });
    await scans.reconcile(START + 1);
    const verdicts = await verdictsOf(scans, runId);
    assert.match(verdicts['no-certificate']!, /answered 12 octets/);
    assert.match(verdicts['expired']!, /logged unknown-authority, expected expired/);
    assert.match(verdicts['plaintext']!, /received 3 octets/);
    assert.match(verdicts['revoked']!, /only 63 octets left/);
    assert.match(verdicts['revoked-then-resumed']!, /was not resumed/);
    assert.match(verdicts['wrong-usage']!, /only 0 octets left/);
    assert.equal(Object.values(verdicts).filter((verdict) => verdict === 'proven').length, drillRunKinds.length - faulty.length);
    assert.equal(scans.logged('drill.judged')[0]!['proven'], false);
  });

  test('the good handshake fails when an old certificate is served, or one of another proxy', async () => {
    await using scans = await open(await newUrl());
    const old = await scans.renew('refunds-1', START);
    await scans.renew('refunds-1', START + 1_000);
    const other = await scans.renew('orders-1', START + 1_000);
    for (const served_serial of [old, other, '']) {
      const { runId, jobs } = await scans.order(['refunds'], START + 2_000);
      await scans.report(jobs[0]!, POSITIVE_DRILL, { served_serial });
      await scans.reconcile(START + 2_001);
      assert.match((await verdictsOf(scans, runId))[POSITIVE_DRILL]!, /which is not the newest issued/);
    }
  });

  test("a drill waits for the proxy's own word, and fails at the deadline without it", async () => {
    await using scans = await open(await newUrl());
    const serial = await scans.renew('refunds-1', START);
    const { runId, jobs } = await scans.order(['refunds'], START);
    const job = jobs[0]!;
    await reportAll(scans, job, serial, ['expired', 'plaintext']);
    await scans.report(job, 'expired');
    // Of another endpoint, and of another connection: neither is a word on this one.
    await scans.refuse(job, 'expired', { endpoint_id: scans.endpointId('orders') });
    await scans.refuse(job, 'expired', { first_octets_sha256: '00'.repeat(32) });
    await scans.reconcile(START + DEADLINE_MS);
    assert.equal((await verdictsOf(scans, runId))['expired'], undefined);
    assert.equal((await readDrillFacts(scans.queries, environment)).get(job.endpointId)?.verdicts.get('expired')?.kind, 'waiting');
    await scans.reconcile(START + DEADLINE_MS + 1);
    const verdicts = await verdictsOf(scans, runId);
    assert.equal(verdicts['expired'], 'the proxy logged no refusal of this connection');
    assert.equal(verdicts['plaintext'], 'no prober reported in time');
    assert.equal((await readDrillRun(scans.queries, runId))?.closed, true);
  });

  test('a run of which nobody reports fails whole at its deadline', async () => {
    await using scans = await open(await newUrl());
    const { runId } = await scans.order(['orders'], START);
    await scans.reconcile(START + DEADLINE_MS);
    assert.deepEqual(await verdictsOf(scans, runId), {});
    await scans.reconcile(START + DEADLINE_MS + 1);
    assert.deepEqual(await verdictsOf(scans, runId), Object.fromEntries(drillRunKinds.map((kind) => [kind, 'no prober reported in time'])));
    assert.equal(scans.logged('drill.judged').length, 2);
  });

  test('a verdict stands: what comes later changes nothing', async () => {
    await using scans = await open(await newUrl());
    const { runId, jobs } = await scans.order(['refunds'], START);
    await scans.reconcile(START + DEADLINE_MS + 1);
    const before = await readDrillRun(scans.queries, runId);
    await reportAll(scans, jobs[0]!, await scans.renew('refunds-1', START));
    await scans.reconcile(START + DEADLINE_MS + 2);
    assert.deepEqual(await readDrillRun(scans.queries, runId), before);
  });

  test('results about another endpoint, or by a prober of another environment, are not taken for this job', async () => {
    await using scans = await open(await newUrl());
    const { runId, jobs } = await scans.order(['refunds'], START);
    for (const kind of refusedKinds) {
      await scans.report(jobs[0]!, kind, { endpoint_id: scans.endpointId('orders') });
      await scans.report(jobs[0]!, kind, { environment: 'elsewhere' });
      await scans.refuse(jobs[0]!, kind);
    }
    await scans.reconcile(START + 1);
    assert.deepEqual(await verdictsOf(scans, runId), {});
  });

  test('an endpoint of several addresses is proven only where each is', async () => {
    await using scans = await open(await newUrl());
    const serials = [await scans.renew('orders-1', START), await scans.renew('orders-2', START)];
    const { jobs } = await scans.order(['orders'], START);
    const factOf = async (kind: DrillRunKind) =>
      (await readDrillFacts(scans.queries, environment)).get(scans.endpointId('orders'))?.verdicts.get(kind);
    assert.deepEqual(await factOf('expired'), { kind: 'waiting' });
    await reportAll(scans, jobs[0]!, serials[0]!);
    await scans.reconcile(START + 1);
    assert.deepEqual(await factOf('expired'), { kind: 'waiting' });
    await reportAll(scans, jobs[1]!, serials[1]!, ['expired']);
    await scans.report(jobs[1]!, 'expired', { octets_answered: 7 });
    await scans.reconcile(START + 2);
    assert.deepEqual(await factOf('expired'), { kind: 'failed', because: 'the endpoint answered 7 octets' });
    for (const kind of drillRunKinds.filter((candidate) => candidate !== 'expired'))
      assert.deepEqual(await factOf(kind), { kind: 'proven' }, kind);
    assert.deepEqual(
      (await readLatestDrills(scans.queries, environment)).map(({ id }) => id).toSorted(),
      jobs.map(({ id }) => id).toSorted(),
    );
  });

  test('a prober that an exception of raw TCP lets in proves nothing, and is told why', async () => {
    await using scans = await open(await newUrl());
    const until = new Date(START + 2 * 86_400_000).toISOString();
    const tcp = endpoint('refunds', '["127.0.0.1:8103"]').replace('http', 'tcp');
    const exception = `kind: Exception\nname: batch\nexception: legacy-caller\nendpoint: refunds\nowner: ada\nreason: old\nuntil: ${until}\nsources: ["127.0.0.1/32"]`;
    const text = [tcp, exception].map((one) => `apiVersion: countersign/v1\n${one}\n`).join('---\n');
    await applyDeclaration({ ...scans, place: { trustDomain, ...place } }, parseDeclaration(text), ada, START);
    const { runId, jobs } = await scans.order(['refunds'], START);
    await scans.report(jobs[0]!, 'plaintext', { octets_answered: 4 });
    await scans.report(jobs[0]!, 'expired', { octets_answered: 4 });
    await scans.reconcile(START + 1);
    const { plaintext, expired } = await verdictsOf(scans, runId);
    assert.match(plaintext!, /^the endpoint answered 4 octets; .*: batch, expected a prober outside of their sources$/);
    assert.equal(expired, 'the endpoint answered 4 octets');
  });

  test('only the latest run of an endpoint counts', async () => {
    await using scans = await open(await newUrl());
    const serial = await scans.renew('refunds-1', START);
    const first = await scans.order(['refunds'], START);
    await reportAll(scans, first.jobs[0]!, serial);
    await scans.reconcile(START + 1);
    await scans.order(['refunds'], START + 2);
    const facts = (await readDrillFacts(scans.queries, environment)).get(scans.endpointId('refunds'))!;
    assert.equal(facts.startedAt, START + 2);
    assert.ok([...facts.verdicts.values()].every(({ kind }) => kind === 'waiting'));
  });

  test('a rollout that waits for proof gets one run, by itself', async () => {
    await using scans = await open(await newUrl());
    await scans.stage('orders', 'originate', START);
    await scans.stage('refunds', 'enforce', null);
    await scans.reconcile(START + 1);
    assert.deepEqual(await listOpenJobs(scans.queries, environment), [], 'nothing is drained yet');
    await scans.stage('refunds', 'enforce', START + 10);
    await scans.reconcile(START + 11);
    await scans.reconcile(START + 12);
    const jobs = await listOpenJobs(scans.queries, environment);
    assert.deepEqual(
      jobs.map(({ endpointName }) => endpointName),
      ['refunds'],
    );
    assert.equal(scans.logged('drill.ordered')[0]!['reason'], 'the rollout enforced the endpoint');
  });

  test('a run that failed is tried again ten seconds after its end, and never while one is open', async () => {
    await using scans = await open(await newUrl());
    await scans.stage('refunds', 'enforce', START);
    await scans.reconcile(START);
    const ended = START + DEADLINE_MS + 1;
    await scans.reconcile(ended - 1);
    assert.equal((await listOpenJobs(scans.queries, environment)).length, 1);
    await scans.reconcile(ended);
    await scans.reconcile(ended + 10 * SECOND_MS - 1);
    assert.equal((await listOpenJobs(scans.queries, environment)).length, 0);
    await scans.reconcile(ended + 10 * SECOND_MS);
    await scans.reconcile(ended + 10 * SECOND_MS + 1);
    assert.equal((await listOpenJobs(scans.queries, environment)).length, 1);
    assert.equal(scans.logged('drill.ordered').length, 2);
  });

  test('a run ordered before the drain proves nothing: a new one is ordered once it is over', async () => {
    await using scans = await open(await newUrl());
    await scans.order(['refunds'], START);
    await scans.stage('refunds', 'enforce', START + 5);
    await scans.reconcile(START + 6);
    assert.equal((await listOpenJobs(scans.queries, environment)).length, 1, 'never two at a time');
    await scans.reconcile(START + DEADLINE_MS + 1);
    await scans.reconcile(START + DEADLINE_MS + 2);
    const [job, ...others] = await listOpenJobs(scans.queries, environment);
    assert.deepEqual([others.length, job!.orderedAt > START + 5], [0, true]);
  });

  test('a proven endpoint is left alone', async () => {
    await using scans = await open(await newUrl());
    await scans.stage('refunds', 'proven', START);
    await scans.reconcile(START + 1);
    assert.deepEqual(await listOpenJobs(scans.queries, environment), []);
  });
});
