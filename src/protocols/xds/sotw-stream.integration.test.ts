import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { type EnvoyLab, openEnvoyLab, types, type TypeWord } from '../../../test/support/envoy-stream-lab.ts';
import { openSotw, type SotwClient } from '../../../test/support/xds-client.ts';
import type { DiscoveryResponse } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { SETTINGS_TYPE } from '../../core/messages/type-urls.ts';

const refusing = (message: string) => ({ errorDetail: { code: 3, message } });

async function openStream(has: { readonly [key: string]: string } = {}): Promise<{ readonly lab: EnvoyLab; readonly envoy: SotwClient }> {
  const lab = await openEnvoyLab();
  for (const [key, content] of Object.entries(has)) lab.world.set(key as `${TypeWord} ${string}`, content);
  lab.publish();
  return { lab, envoy: openSotw(await lab.connect()) };
}

/** The contents of a response; the test's resources are their own names. */
const contents = ({ resources }: DiscoveryResponse): readonly string[] => resources.map(({ value }) => Buffer.from(value).toString());

async function take(envoy: SotwClient, word: TypeWord, resourceNames: readonly string[] = []): Promise<readonly string[]> {
  envoy.say({ typeUrl: types[word], resourceNames: [...resourceNames] });
  return answer(envoy, word, resourceNames);
}

async function answer(envoy: SotwClient, word: TypeWord, resourceNames: readonly string[] = [], more = {}): Promise<readonly string[]> {
  const response = await envoy.next(types[word]);
  const { typeUrl, nonce: responseNonce, versionInfo } = response;
  envoy.say({ typeUrl, responseNonce, versionInfo, resourceNames: [...resourceNames], ...more });
  return contents(response);
}

/** What came although nobody asked, once a name that is asked for last was answered. */
async function rest(envoy: SotwClient, lab: EnvoyLab): Promise<readonly string[]> {
  lab.world.set('secret barrier', `barrier ${Math.random()}`);
  lab.publish();
  envoy.say({ typeUrl: types.secret, resourceNames: ['barrier'] });
  const barrier = await envoy.next(types.secret);
  envoy.say({ typeUrl: types.secret, resourceNames: ['barrier'], responseNonce: barrier.nonce });
  return (await envoy.taken()).flatMap(contents);
}

test('listeners and clusters come whole with each change, other types as they change', async () => {
  const { lab, envoy } = await openStream({ 'listener l': 'l', 'listener m': 'm', 'route r': 'r', 'route s': 's' });
  await using _lab = lab;
  assert.deepEqual(await take(envoy, 'cluster'), [], 'even if there is none');
  assert.deepEqual(await take(envoy, 'listener'), ['l', 'm']);
  assert.deepEqual(await take(envoy, 'route', ['r', 's', 'absent']), ['r', 's']);
  lab.world.set('listener m', 'm2').set('route s', 's2');
  lab.publish();
  assert.deepEqual(await answer(envoy, 'listener'), ['l', 'm2']);
  assert.deepEqual(await answer(envoy, 'route', ['r', 's', 'absent']), ['s2']);
  lab.world.delete('listener l');
  lab.world.set('route absent', 'there now');
  lab.publish();
  assert.deepEqual(await answer(envoy, 'listener'), ['m2'], 'who is left out is removed');
  assert.deepEqual(await answer(envoy, 'route', ['r', 's', 'absent']), ['there now']);
});

test('what was refused stays in each later response as it was, and the others change', async () => {
  const { lab, envoy } = await openStream({ 'listener first': 'first', 'listener second': 'second' });
  await using _lab = lab;
  await take(envoy, 'listener');
  lab.world.set('listener first', 'bad').set('listener second', 'second 2');
  lab.publish();
  assert.deepEqual(await answer(envoy, 'listener', [], refusing("Error adding/updating listener(s) first: can't")), ['bad', 'second 2']);
  assert.deepEqual(await answer(envoy, 'listener'), ['first', 'second 2']);
  assert.deepEqual(await answer(envoy, 'listener', [], refusing('no')), ['bad', 'second 2'], 'once by itself, to be sure which it was');
  lab.world.set('listener second', 'second 3');
  lab.publish();
  assert.deepEqual(await answer(envoy, 'listener'), ['first', 'second 3']);
  assert.deepEqual(
    lab.control.envoys.book.statusOf(lab.proxyId)?.refused.map(({ name, reason }) => [name, reason]),
    [['first', 'no']],
  );
});

test('a request with a stale nonce says nothing, not even what is wanted', async () => {
  const { lab, envoy } = await openStream({ 'route r': 'r', 'route s': 's' });
  await using _lab = lab;
  envoy.say({ typeUrl: types.route, resourceNames: ['r'] });
  const first = await envoy.next();
  envoy.say({ typeUrl: types.route, resourceNames: ['r', 's'], responseNonce: 'of another stream' });
  lab.world.set('route r', 'r2').set('route s', 's2');
  lab.publish();
  envoy.say({ typeUrl: types.route, resourceNames: ['r'], responseNonce: first.nonce });
  const second = await envoy.next();
  assert.deepEqual(contents(second), ['r2']);
  envoy.say({ typeUrl: types.route, resourceNames: ['r'], responseNonce: first.nonce, ...refusing('late') });
  envoy.say({ typeUrl: types.route, resourceNames: ['r', 's'], responseNonce: second.nonce });
  assert.deepEqual(contents(await envoy.next()), ['s2']);
  assert.deepEqual(lab.control.envoys.book.statusOf(lab.proxyId)?.refused, []);
});

test('who comes back with all of it is sent nothing, and who is ahead of us waits', async () => {
  const { lab, envoy } = await openStream({ 'cluster a': 'a' });
  await using _lab = lab;
  envoy.say({ typeUrl: types.cluster });
  const { versionInfo } = await envoy.next();
  assert.match(versionInfo, /^1\.1\.1\.[0-9a-f]{32}$/);
  const back = openSotw(await lab.connect());
  back.say({ typeUrl: types.cluster, versionInfo });
  assert.deepEqual((await rest(back, lab)).length, 0);
  lab.world.set('cluster a', 'a2');
  lab.publish();
  assert.deepEqual(contents(await back.next(types.cluster)), ['a2']);
  const ahead = openSotw(await lab.connect());
  ahead.say({ typeUrl: types.cluster, versionInfo: `9${versionInfo}` });
  ahead.say({ typeUrl: SETTINGS_TYPE, resourceNames: [lab.proxyId] });
  await ahead.next(SETTINGS_TYPE);
  assert.equal(lab.control.envoys.book.statusOf(lab.proxyId)?.state, 'state-older');
  assert.deepEqual(await ahead.taken(), []);
});

test('who comes back while something is withheld is sent no response that would remove it', async () => {
  const { lab } = await openStream({ 'listener l': 'bad', 'listener m': 'm' });
  await using _lab = lab;
  lab.faults.push({ typeUrl: types.listener, name: 'l', reason: 'bad' });
  lab.publish();
  const back = openSotw(await lab.connect());
  back.say({ typeUrl: types.cluster, versionInfo: '1.1.1.aa' });
  back.say({ typeUrl: types.listener, versionInfo: '1.1.1.aa' });
  assert.deepEqual(await rest(back, lab), []);
  lab.faults.length = 0;
  lab.world.set('listener l', 'good');
  lab.publish();
  assert.deepEqual(contents(await back.next(types.listener)), ['good', 'm']);
});

test('names past the bound, types past the bound, and what belongs to another are refused', async () => {
  const names = Array.from({ length: 5_001 }, (_, at) => `r${at}`);
  const { lab } = await openStream();
  await using _lab = lab;
  const crowd = openSotw(await lab.connect());
  crowd.say({ typeUrl: types.route, resourceNames: names });
  assert.equal((await crowd.ended).code, status.INVALID_ARGUMENT);
  const many = openSotw(await lab.connect());
  for (let at = 0; at < 17; at++) many.say({ typeUrl: `type.test/${at}`, resourceNames: ['x'] });
  assert.equal((await many.ended).code, status.INVALID_ARGUMENT);
  const foreign = openSotw(await lab.connect());
  foreign.say({ typeUrl: SETTINGS_TYPE, resourceNames: [lab.newProxy().proxyId] });
  assert.equal((await foreign.ended).code, status.PERMISSION_DENIED);
});
