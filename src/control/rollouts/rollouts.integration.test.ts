import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { openSimulatedFleet, operator } from '../../../test/support/simulated-fleet.ts';
import { Mode } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { readRolloutPlan, readRolloutStatus } from './read-rollout.ts';
import { retryRollout } from './retry-rollout.ts';
import { pauseRollout, startRollout } from './set-status.ts';
import { weakenPath } from './weaken-path.ts';

const TO_ORDERS = '{endpoint: orders, listen: "127.0.0.1:7101"}';
const TO_PAYMENTS = '{endpoint: payments, listen: "127.0.0.1:7102"}';
const order = { environment: 'prod', name: 'all', reason: 'test' };

/** Shop calls orders and payments, orders calls payments; one replica each. */
const declarations = `
${['shop', 'orders', 'payments'].map((name) => `apiVersion: countersign/v1\nkind: Service\nname: ${name}\nowner: ada\n---`).join('\n')}
${endpoint('orders', 8101, 'standard', ['shop'])}
---
${endpoint('payments', 8102, 'critical', ['shop', 'orders'])}
---
${proxy('shop', '', 'outbound: [{endpoint: orders, listen: "127.0.0.1:7101"}, {endpoint: payments, listen: "127.0.0.1:7102"}]')}
---
${proxy('orders', 'inbound: [{endpoint: orders, listen: "127.0.0.1:8101", upstream: "127.0.0.1:9101"}]', 'outbound: [{endpoint: payments, listen: "127.0.0.1:7103"}]')}
---
${proxy('payments', 'inbound: [{endpoint: payments, listen: "127.0.0.1:8102", upstream: "127.0.0.1:9102"}]', '')}
---
${target('')}
`;

function endpoint(name: string, port: number, tier: string, callers: readonly string[]): string {
  return `apiVersion: countersign/v1\nkind: Endpoint\nname: ${name}\nservice: ${name}\nprotocol: http\naddresses: ["127.0.0.1:${port}"]\ntier: ${tier}\nowner: ada\nallowedCallers: [${callers.join(', ')}]`;
}

function proxy(name: string, inbound: string, outbound: string): string {
  return ['apiVersion: countersign/v1', 'kind: Proxy', `name: ${name}`, `service: ${name}`, 'role: sidecar', inbound, outbound]
    .filter((line) => line !== '')
    .join('\n');
}

function target(more: string): string {
  return `apiVersion: countersign/v1\nkind: Target\nname: all\nendpoints: all\nsoakMs: 5000\nsettleMs: 2000\nlagMs: 1000\nsilentMs: 3000\n${more}`;
}

function exception(of: string, until: number): string {
  return `apiVersion: countersign/v1\nkind: Exception\nname: probe-${of}\nexception: probe\nendpoint: ${of}\nowner: ada\nreason: x\nuntil: ${new Date(until).toISOString()}\nsources: ["10.1.0.0/16"]\ncalls: [{ methods: [GET], path: /healthz }]\n`;
}

async function open(url: string) {
  const fleet = await openSimulatedFleet(url, declarations);
  return {
    ...fleet,
    status: () => readRolloutStatus(fleet.queries, order),
    plan: () => readRolloutPlan({ queries: fleet.queries, fleet: fleet.deps.fleet }, order, fleet.now()),
    start: () => startRollout(fleet.deps, order, operator, fleet.now()),
    /** Lets seconds pass until the modes are as wanted. */
    async until(wanted: (modes: Record<string, string>) => boolean, options = {}): Promise<void> {
      for (let second = 0; second < 120; second++) {
        if (wanted(await fleet.pathModes())) return;
        await fleet.second(options);
      }
      const { steps, holds } = await readRolloutStatus(fleet.queries, order);
      assert.fail(`never: ${steps.map(({ kind, wave }) => `${kind} ${wave}`).join(', ')}; ${JSON.stringify(holds)}`);
    },
    [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose](),
  };
}

const paths = ['shop>orders', 'shop>payments', 'orders>payments'];
const allEnforced = (modes: Record<string, string>): boolean => paths.every((path) => modes[path] === 'enforce mtls');

forEachDatabase('control/rollouts', (newUrl) => {
  test('nothing moves before somebody starts the rollout', async () => {
    await using fleet = await open(await newUrl());
    for (let second = 0; second < 5; second++) await fleet.second();
    assert.deepEqual(await fleet.pathModes(), {});
  });

  test('a fleet comes from plaintext to proven without one failed call, and every step is logged and names its parent', async () => {
    await using fleet = await open(await newUrl());
    await fleet.start();
    await fleet.until(allEnforced);
    for (let second = 0; second < 10; second++) await fleet.second();
    const { steps, waves, rollbacks } = await fleet.status();
    assert.deepEqual([fleet.seen.failed, fleet.seen.refused, rollbacks.length], [0, 0, 0]);
    assert.ok(fleet.seen.plaintext > 0);
    assert.ok(waves.every(({ stages, paths, provenAt }) => stages.proven === paths.length && provenAt !== null));
    assert.equal(waves[0]!.paths.length, 1);
    const oldestFirst = steps.toReversed();
    assert.deepEqual(
      oldestFirst.map(({ parent }) => parent),
      [null, ...oldestFirst.slice(0, -1).map(({ stepId }) => stepId)],
    );
    const logged = fleet.entries.filter(({ type }) => type === 'rollout.step').map(({ data }) => data['stepId']);
    assert.deepEqual(
      logged,
      oldestFirst.map(({ stepId }) => stepId),
    );
    assert.ok((await fleet.plan()).endpoints.every(({ enforced }) => enforced));
  });

  test('the control plane may be restarted in every state, and two of them may work at once', async () => {
    await using fleet = await open(await newUrl());
    await fleet.start();
    await fleet.until(allEnforced, { restart: true, reconcilers: 2 });
    const { steps } = await fleet.status();
    assert.equal(new Set(steps.map(({ parent }) => parent)).size, steps.length);
    assert.deepEqual([fleet.seen.failed, fleet.seen.refused], [0, 0]);
  });

  test('a wave whose callers fail is rolled back within two seconds, stays back, and goes through when it was mended', async () => {
    await using fleet = await open(await newUrl());
    fleet.broken.set('shop>payments', 'unknown-authority');
    await fleet.start();
    await fleet.until(() => fleet.seen.failed > 0);
    await fleet.second();
    await fleet.second();
    const failed = fleet.seen.failed;
    const { rollbacks } = await fleet.status();
    assert.equal(rollbacks.length, 1);
    assert.ok(rollbacks[0]!.at - rollbacks[0]!.firstFailureAt! <= 2_000);
    assert.deepEqual(
      rollbacks[0]!.reasons.map(({ code, refusal }) => [code, refusal]),
      [['caller-failures', 'unknown-authority']],
    );
    assert.equal((await fleet.pathModes())['shop>payments'], 'permissive plaintext');
    for (let second = 0; second < 20; second++) await fleet.second();
    assert.equal(fleet.seen.failed, failed);
    assert.equal((await fleet.pathModes())['shop>payments'], 'permissive plaintext');
    assert.ok((await fleet.status()).holds.some(({ reason, endedAt }) => reason.code === 'path-rolled-back' && endedAt === null));
    fleet.broken.clear();
    const { paths: retried } = await retryRollout(fleet.deps, order, operator, fleet.now());
    assert.ok(retried.length > 0);
    await fleet.until(allEnforced);
    assert.equal(fleet.seen.failed, failed);
    assert.equal((await fleet.status()).rollbacks[0]!.retriedAt !== null, true);
  });

  test('a silent proxy holds its waves, and is named', async () => {
    await using fleet = await open(await newUrl());
    fleet.silent.add('payments');
    await fleet.start();
    for (let second = 0; second < 20; second++) await fleet.second();
    assert.deepEqual((await fleet.pathModes())['shop>payments'], 'permissive plaintext');
    const codes = (await fleet.status()).holds.map(({ reason }) => reason.code);
    assert.ok(
      codes.includes('proxy-silent') ||
        codes.includes('not-acknowledged') ||
        (await fleet.plan()).endpoints.some(({ holds }) => holds.length > 0),
    );
    fleet.silent.clear();
    await fleet.until(allEnforced);
    assert.deepEqual([fleet.seen.failed, fleet.seen.refused], [0, 0]);
  });

  test('an impostor holds enforcement until a person decides, is named with counts, and afterwards moves nothing', async () => {
    await using fleet = await open(await newUrl());
    fleet.impostors.set('payments', 7);
    await fleet.start();
    for (let second = 0; second < 40; second++) await fleet.second();
    assert.equal((await fleet.pathModes())['shop>payments'], 'permissive mtls');
    const held = (await fleet.plan()).endpoints.find(({ anonymous }) => anonymous.count > 0)!;
    assert.deepEqual([held.anonymous.attributable, held.anonymous.decided], [false, 'hold']);
    const { holds } = await fleet.status();
    assert.equal(holds.filter(({ reason }) => reason.code === 'unattributed-anonymous').length, 1);
    const logged = fleet.entries.filter(({ type }) => type === 'rollout.held').reduce((sum, { data }) => sum + Number(data['count']), 0);
    assert.equal(logged, holds.length);
    await fleet.apply(target('unattributed: refuse'));
    await fleet.until(allEnforced);
    for (let second = 0; second < 10; second++) await fleet.second();
    const { rollbacks, waves } = await fleet.status();
    assert.deepEqual(rollbacks, []);
    assert.ok(waves.every(({ stages, paths }) => stages.proven === paths.length));
  });

  test('what comes under an exception holds nothing and is named, until the exception is over', async () => {
    await using fleet = await open(await newUrl());
    fleet.impostors.set('payments', 7);
    fleet.impostors.set('orders', 7);
    await fleet.apply(`${exception('payments', fleet.now() + 7 * DAY_MS)}---\n${exception('orders', fleet.now() + 8_000)}`);
    await fleet.start();
    await fleet.until((modes) => modes['shop>payments'] === 'enforce mtls' && modes['orders>payments'] === 'enforce mtls');
    for (let second = 0; second < 20; second++) await fleet.second();
    assert.equal((await fleet.pathModes())['shop>orders'], 'permissive mtls', 'its exception ended before');
    const [payments] = (await fleet.plan()).endpoints.filter(({ excepted }) => excepted.length > 0);
    assert.deepEqual([payments!.anonymous.count, payments!.enforced], [0, true]);
    const { name, kind, owner, count } = payments!.excepted[0]!;
    // Five seconds, and of receivers one more on both sides.
    assert.deepEqual([name, kind, owner, count], ['probe-payments', 'probe', 'ada', 7 * 7]);
    const { holds } = await fleet.status();
    assert.deepEqual(
      [...new Set(holds.filter(({ reason }) => reason.code === 'unattributed-anonymous').map(({ reason }) => reason.count! > 0))],
      [true],
    );
  });

  test('a paused rollout stands still until it is started again', async () => {
    await using fleet = await open(await newUrl());
    await fleet.start();
    await fleet.second();
    await pauseRollout(fleet.deps, order, operator, fleet.now());
    const before = await fleet.pathModes();
    for (let second = 0; second < 10; second++) await fleet.second();
    assert.deepEqual(await fleet.pathModes(), before);
    await fleet.start();
    await fleet.until(allEnforced);
    const types = fleet.entries.map(({ type }) => type).filter((type) => type === 'rollout.started' || type === 'rollout.paused');
    assert.deepEqual(types, ['rollout.started', 'rollout.paused', 'rollout.started']);
  });

  test('a person weakens a proven path until a date; then it returns and is proven again', async () => {
    await using fleet = await open(await newUrl());
    await fleet.start();
    await fleet.until(allEnforced);
    for (let second = 0; second < 10; second++) await fleet.second();
    const { waves } = await fleet.status();
    const pathId = waves[0]!.paths[0]!;
    const until = fleet.now() + 5_000;
    await weakenPath(fleet.deps, { environment: 'prod', pathId, to: 'permissive', until, reason: 'vendor upgrade' }, operator, fleet.now());
    assert.equal((await fleet.pathModes())['shop>orders'], 'permissive plaintext');
    while (fleet.now() < until - 1_000) {
      await fleet.second();
      assert.equal((await fleet.pathModes())['shop>orders'], 'permissive plaintext');
    }
    await fleet.until(allEnforced);
    for (let second = 0; second < 10; second++) await fleet.second();
    assert.equal((await fleet.status()).waves[0]!.stages.proven, 1);
    assert.deepEqual([fleet.seen.failed, fleet.seen.refused], [0, 0]);
  });

  test('the leaf of a weakening names no person in clear', async () => {
    await using fleet = await open(await newUrl());
    await fleet.start();
    await fleet.until(allEnforced);
    const { waves } = await fleet.status();
    const asked = {
      environment: 'prod',
      pathId: waves[0]!.paths[0]!,
      to: 'permissive',
      until: fleet.now() + 5_000,
      reason: 'upgrade',
    } as const;
    await weakenPath(fleet.deps, asked, { kind: 'person', name: 'Grace Hopper' }, fleet.now());
    const entry = fleet.entries.findLast(({ type, data }) => type === 'rollout.step' && data['kind'] === 'weaken')!;
    assert.match(JSON.stringify(entry.data), /"until":\d+/);
    assert.doesNotMatch(JSON.stringify(entry.data), /Grace/);
  });

  test('a proven endpoint that loses its last caller opens to nobody, and the next caller is enforced from its first call', async () => {
    await using fleet = await open(await newUrl());
    await fleet.start();
    await fleet.until(allEnforced);
    for (let second = 0; second < 10; second++) await fleet.second();
    const callers = [endpoint('orders', 8101, 'standard', ['shop']), proxy('shop', '', `outbound: [${TO_ORDERS}, ${TO_PAYMENTS}]`)];
    const none = [endpoint('orders', 8101, 'standard', []), proxy('shop', '', `outbound: [${TO_PAYMENTS}]`)];
    await fleet.apply(none.join('\n---\n'));
    for (let second = 0; second < 3; second++) await fleet.second();
    assert.deepEqual(await fleet.inboundModes('orders'), { anonymous: Mode.ENFORCE, stranger: Mode.ENFORCE, callers: [] });
    await fleet.apply(callers.join('\n---\n'));
    for (let second = 0; second < 10; second++) {
      await fleet.second();
      assert.deepEqual(await fleet.inboundModes('orders'), { anonymous: Mode.ENFORCE, stranger: Mode.ENFORCE, callers: [Mode.ENFORCE] });
    }
    assert.equal((await fleet.pathModes())['shop>orders'], 'enforce mtls');
    assert.deepEqual([fleet.seen.failed, fleet.seen.refused], [0, 0]);
  });

  test('a target that goes leaves what is enforced enforced', async () => {
    await using fleet = await open(await newUrl());
    await fleet.start();
    await fleet.until(allEnforced);
    await fleet.apply('apiVersion: countersign/v1\nkind: Target\nname: all\nstate: absent\n');
    for (let second = 0; second < 10; second++) await fleet.second();
    assert.ok(allEnforced(await fleet.pathModes()));
  });

  for (const [what, code, change, actor] of [
    ['a machine', 'forbidden', {}, { kind: 'machine', name: 'ci' }],
    ['the planner itself', 'forbidden', {}, { kind: 'system', name: 'rollout' }],
    ['nobody with a reason', 'input-invalid', { reason: ' ' }, operator],
    ['someone without an end', 'input-invalid', { until: Number.POSITIVE_INFINITY }, operator],
    ['someone until yesterday', 'input-invalid', { until: 1 }, operator],
    ['someone for ever', 'input-invalid', { until: 1_800_000_000_000 + 400 * DAY_MS }, operator],
    ['someone of another environment', 'not-found', { environment: 'test' }, operator],
    ['someone who names no path', 'not-found', { pathId: 'path_00000000000000000000000000' as const }, operator],
    ['someone who would not weaken it', 'state-conflict', { to: 'originate' as const }, operator],
  ] as const) {
    test(`a path is not weakened by ${what}`, async () => {
      await using fleet = await open(await newUrl());
      await fleet.start();
      await fleet.until((modes) => modes['shop>orders'] === 'permissive plaintext');
      const pathId = (await fleet.status()).waves[0]!.paths[0]!;
      const before = await fleet.status();
      const asked = { environment: 'prod', pathId, to: 'observe' as const, until: fleet.now() + DAY_MS, reason: 'test', ...change };
      await assert.rejects(weakenPath(fleet.deps, asked, actor, fleet.now()), { code });
      assert.deepEqual(await fleet.status(), before);
    });
  }

  test('a retry without anything rolled back is refused, and so is a rollout that nobody declared', async () => {
    await using fleet = await open(await newUrl());
    await assert.rejects(retryRollout(fleet.deps, order, operator, fleet.now()), { code: 'state-conflict' });
    const unknown = { ...order, name: 'none' };
    await assert.rejects(retryRollout(fleet.deps, unknown, operator, fleet.now()), { code: 'not-found' });
    await assert.rejects(startRollout(fleet.deps, unknown, operator, fleet.now()), { code: 'not-found' });
    await assert.rejects(startRollout(fleet.deps, { ...order, environment: 'test' }, operator, fleet.now()), { code: 'not-found' });
    await assert.rejects(pauseRollout(fleet.deps, { ...order, reason: 'x'.repeat(2_000) }, operator, fleet.now()), {
      code: 'input-invalid',
    });
    await assert.rejects(readRolloutStatus(fleet.queries, unknown), { code: 'not-found' });
  });
});
