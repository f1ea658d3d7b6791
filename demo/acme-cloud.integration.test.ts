import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type AcmeCloud, rollReplica, startAcmeCloud, stopAcmeCloud } from './acme-cloud.ts';
import { paths, spiffeIdOf } from './fleet.ts';
import { countCalls, countChannels, countImpersonations, measureSteadiness } from './observer/analyse-calls.ts';
import { type Call, joinCalls } from './observer/call.ts';
import { readEvents, readMarkers, readReadableCalls } from './observer/read-records.ts';
import { ProcessGroup } from './process-group.ts';
import { closeLayout, layOut } from './replica.ts';
import { makeRunDirectory } from './run-directory.ts';

describe('the plaintext fleet of Acme Cloud', () => {
  const root = mkdtempSync(join(tmpdir(), 'acme-'));
  const layout = layOut();
  let calls: readonly Call[] = [];
  let strayIds: readonly string[] = [];
  let cloud: AcmeCloud;

  before(async () => {
    const directory = makeRunDirectory(root, 'run');
    await using group = new ProcessGroup(join(directory, 'logs'), {});
    cloud = await startAcmeCloud(group, directory, layout);
    for (const number of [1, 2]) {
      const wave = layout.replicas.filter((replica) => replica.number === number && replica.service.proxy !== 'none');
      await Promise.all(wave.map((replica) => rollReplica(cloud, replica, 'direct')));
    }
    await stopAcmeCloud(cloud);
    ({ calls, strayIds } = joinCalls(readEvents(cloud.files.events)));
  });

  after(() => {
    closeLayout(layout);
    rmSync(root, { recursive: true, force: true });
  });

  test('no call fails from the first one on, though every process is replaced once', () => {
    const totals = countCalls(calls, []);
    assert.deepEqual(totals.failures, []);
    assert.ok(totals.total > 200, `${totals.total} calls`);
    assert.deepEqual(strayIds, []);
  });

  test('every path is called', () => {
    const own = calls.filter(({ role }) => role === 'service');
    const span = { from: own[0]!.begunAt, to: own.at(-1)!.begunAt };
    const { paths: measured } = measureSteadiness(calls, paths, span);
    for (const path of measured) assert.ok(path.callsPerSecond > 0, `${path.caller} to ${path.endpoint}`);
  });

  test('the tap reads every call but those that the processor itself encrypts', () => {
    const channels = countChannels(calls, readReadableCalls(cloud.files.tap), spiffeIdOf, { from: 0, to: Number.POSITIVE_INFINITY });
    assert.equal(channels.mutual, 0);
    assert.equal(channels.encrypted, calls.filter(({ endpoint, received }) => endpoint === 'processor' && received !== null).length);
  });

  test('the tap finds the marker where customers are read or sent', () => {
    const endpoints = new Set(readMarkers(cloud.files.tap).map(({ endpoint }) => endpoint));
    assert.deepEqual([...endpoints].toSorted(), ['customers', 'legacy', 'orders', 'shipping']);
  });

  test('an impostor gets what it asks for', () => {
    const { attempts, succeeded } = countImpersonations(calls, { from: 0, to: Number.POSITIVE_INFINITY });
    assert.ok(attempts > 0 && succeeded > 0, `${succeeded} of ${attempts}`);
  });
});
