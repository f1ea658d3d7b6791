import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RolloutFleet } from '../../../test/support/rollout-fleet.ts';
import { planWaves } from './plan-waves.ts';

function wavesOf(fleet: RolloutFleet, options = { firstWave: 0, maxPaths: 50 }): Record<string, number> {
  const facts = fleet.facts(0);
  const endpoints = new Map(facts.endpoints.map((endpoint) => [endpoint.endpointId, endpoint]));
  return Object.fromEntries([...planWaves(facts.paths, endpoints, options)].map(([id, wave]) => [id.slice(5), wave]));
}

test('the canary is one path alone, to a standard endpoint with few callers', () => {
  const fleet = new RolloutFleet();
  fleet.addEndpoint('mail', 'standard');
  fleet.addPath('shop', 'mail');
  fleet.addPath('billing', 'orders');
  const waves = wavesOf(fleet);
  assert.equal(waves['shop-mail'], 0);
  assert.equal(Object.values(waves).filter((wave) => wave === 0).length, 1);
});

test('critical endpoints come after all standard ones', () => {
  const fleet = new RolloutFleet();
  for (const caller of ['a', 'b', 'c']) fleet.addPath(caller, 'orders');
  const waves = wavesOf(fleet);
  const standard = Math.max(...Object.entries(waves).flatMap(([id, wave]) => (id.endsWith('-orders') ? [wave] : [])));
  const critical = Math.min(...Object.entries(waves).flatMap(([id, wave]) => (id.endsWith('-payments') ? [wave] : [])));
  assert.ok(standard < critical);
});

test('a path into a service and a path out of it are never in one wave', () => {
  const fleet = new RolloutFleet();
  for (const name of ['a', 'b', 'c', 'd']) fleet.addEndpoint(name, 'standard');
  for (const [from, to] of [
    ['a', 'b'],
    ['b', 'c'],
    ['c', 'd'],
    ['d', 'a'],
    ['shop', 'a'],
  ] as const)
    fleet.addPath(from, to);
  const waves = wavesOf(fleet);
  const paths = Object.keys(waves).map((id) => id.split('-') as [string, string]);
  for (const [caller, callee] of paths) {
    for (const [nextCaller, nextCallee] of paths) {
      if (callee === nextCaller) assert.notEqual(waves[`${caller}-${callee}`], waves[`${nextCaller}-${nextCallee}`]);
    }
  }
});

test('a wave holds no more paths than allowed', () => {
  const fleet = new RolloutFleet();
  for (let i = 0; i < 30; i++) fleet.addPath(`caller${i}`, 'orders');
  const sizes = Map.groupBy(Object.values(wavesOf(fleet, { firstWave: 0, maxPaths: 7 })), (wave) => wave);
  assert.ok([...sizes.values()].every((wave) => wave.length <= 7));
});

test('waves that come later have no canary and follow the last', () => {
  const waves = wavesOf(new RolloutFleet(), { firstWave: 5, maxPaths: 50 });
  assert.deepEqual(Object.values(waves).toSorted(), [5, 6, 6]);
});

test('the order does not depend on the order in which paths are given', () => {
  const fleet = new RolloutFleet();
  const waves = wavesOf(fleet);
  fleet.paths.reverse();
  assert.deepEqual(wavesOf(fleet), waves);
});
