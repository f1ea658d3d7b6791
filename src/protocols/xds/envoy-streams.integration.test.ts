import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { type EnvoyLab, openEnvoyLab, types, type TypeWord } from '../../../test/support/envoy-stream-lab.ts';
import { brief, type DeltaClient, openDelta } from '../../../test/support/xds-client.ts';
import { Plane } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { DeltaDiscoveryResponse } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { SETTINGS_TYPE, TRUST_BUNDLE_TYPE } from '../../core/messages/type-urls.ts';

const REFUSED = { errorDetail: { code: 3, message: 'KEY_VALUES_MISMATCH' } };

/** A lab with one Envoy on a stream; `has` is what it takes before the test begins. */
async function openStream(has: { readonly [key: string]: string } = {}): Promise<{ readonly lab: EnvoyLab; readonly envoy: DeltaClient }> {
  const lab = await openEnvoyLab();
  for (const [key, content] of Object.entries(has)) lab.world.set(key as `${TypeWord} ${string}`, content);
  lab.publish();
  const envoy = openDelta(await lab.connect());
  return { lab, envoy };
}

const acknowledge = (envoy: DeltaClient, { typeUrl, nonce }: DeltaDiscoveryResponse, more = {}): void =>
  envoy.say({ typeUrl, responseNonce: nonce, ...more });

/** Asks for a type and takes all that comes of it, so many responses. */
async function take(envoy: DeltaClient, word: TypeWord, names: readonly string[], responses = 1): Promise<readonly string[]> {
  envoy.say({ typeUrl: types[word], resourceNamesSubscribe: [...names] });
  const said: string[] = [];
  for (let at = 0; at < responses; at++) said.push(await takeNext(envoy, word));
  return said;
}

async function takeNext(envoy: DeltaClient, word?: TypeWord): Promise<string> {
  const response = await envoy.next(word === undefined ? undefined : types[word]);
  acknowledge(envoy, response);
  return brief(response);
}

const versionsOf = ({ resources }: DeltaDiscoveryResponse) => Object.fromEntries(resources.map(({ name, version }) => [name, version]));

describe("an Envoy's stream", () => {
  test('is told of listeners and clusters at once, even if there are none, and of an absent secret that it is absent', async () => {
    const { lab, envoy } = await openStream();
    await using _lab = lab;
    assert.deepEqual(await take(envoy, 'cluster', []), ['Cluster']);
    assert.deepEqual(await take(envoy, 'listener', []), ['Listener']);
    assert.deepEqual(await take(envoy, 'secret', ['a']), ['Secret -a']);
  });

  test('gets clusters before the listeners that may name them, listeners before routes, and keeps a cluster until nothing names it', async () => {
    const { lab, envoy } = await openStream({
      'cluster old': '1',
      'endpoint old': '1',
      'secret s': '1',
      'listener l': 'to old',
      'route r': 'to old',
    });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    await take(envoy, 'endpoint', ['old']);
    await take(envoy, 'secret', ['s']);
    await take(envoy, 'listener', []);
    await take(envoy, 'route', ['r']);
    lab.world.delete('cluster old');
    lab.world.set('cluster new', '1').set('listener l', 'to new').set('route r', 'to new').set('secret s', '2');
    lab.publish();
    const order: string[] = [];
    for (let at = 0; at < 5; at++) order.push(await takeNext(envoy));
    assert.ok(order.indexOf('Cluster new=1') < order.indexOf('Listener l=to new'), order.join(', '));
    assert.ok(order.indexOf('Listener l=to new') < order.indexOf('RouteConfiguration r=to new'), order.join(', '));
    assert.equal(order.at(-1), 'Cluster -old');
    assert.deepEqual((await envoy.rest()).map(brief), [], 'endpoints of a cluster that is gone are no news to who gave it up');
  });

  test('is sent ports that differ in a mark alone behind the routes, and all others before', async () => {
    const ports = ['a', 'b', 'c'] as const;
    const [first, marked, other] = ['same#1', 'same#2', 'other#2'] as const;
    const { lab, envoy } = await openStream({ 'route r': '1', ...Object.fromEntries(ports.map((name) => [`listener ${name}`, first])) });
    await using _lab = lab;
    await take(envoy, 'listener', [], ports.length);
    await take(envoy, 'route', ['r']);
    const change = (content: string, route: string): void => {
      for (const name of ports) lab.world.set(`listener ${name}`, content);
      lab.world.set('route r', route);
      lab.publish();
    };
    change(marked, '2');
    const held = await envoy.next(types.listener);
    assert.equal(brief(held), 'Listener a=same#2');
    assert.equal(await takeNext(envoy), 'RouteConfiguration r=2', 'no answer for a port was waited for');
    acknowledge(envoy, held);
    assert.deepEqual([await takeNext(envoy), await takeNext(envoy)], ['Listener b=same#2', 'Listener c=same#2']);
    change(other, '3');
    const order: string[] = [];
    for (let at = 0; at <= ports.length; at++) order.push(await takeNext(envoy));
    assert.deepEqual(order.at(-1), 'RouteConfiguration r=3');
  });

  test('has all its secrets before a mark ends connections, so that who comes back meets these, and its routes at once', async () => {
    const { lab, envoy } = await openStream({ 'route r': '1', 'listener l': 'same#1', 'secret s': '1', 'secret t': '1' });
    await using _lab = lab;
    await take(envoy, 'listener', []);
    await take(envoy, 'secret', ['s', 't'], 2);
    await take(envoy, 'route', ['r']);
    lab.world.set('listener l', 'same#2').set('secret s', '2').set('secret t', '2').set('route r', '2');
    lab.publish();
    const held = await envoy.next(types.secret);
    assert.equal(await takeNext(envoy), 'RouteConfiguration r=2');
    acknowledge(envoy, held);
    assert.deepEqual([await takeNext(envoy), await takeNext(envoy)], ['Secret t=2', 'Listener l=same#2']);
  });

  test('has all its secrets before a cluster differs in a mark alone, for it connects anew by these', async () => {
    const { lab, envoy } = await openStream({ 'cluster c': 'same#1', 'secret s': '1', 'secret t': '1' });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    await take(envoy, 'secret', ['s', 't'], 2);
    lab.world.set('cluster c', 'same#2').set('secret s', '2').set('secret t', '2');
    lab.publish();
    assert.deepEqual(
      [await takeNext(envoy), await takeNext(envoy), await takeNext(envoy)],
      ['Secret s=2', 'Secret t=2', 'Cluster c=same#2'],
    );
  });

  test('gets everything while it keeps back its acknowledgement of clusters, as it does while they warm', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'endpoint a': '1', 'secret s': '1', 'listener l': '1', 'route r': '1' });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    await take(envoy, 'listener', []);
    await take(envoy, 'route', ['r']);
    lab.world.set('cluster b', '1').set('endpoint b', '1').set('secret t', '1').set('listener l', '2').set('route r', '2');
    lab.publish();
    const clusters = await envoy.next(types.cluster);
    assert.equal(brief(clusters), 'Cluster b=1');
    assert.deepEqual(await take(envoy, 'endpoint', ['b']), ['ClusterLoadAssignment b=1']);
    assert.deepEqual(await take(envoy, 'secret', ['t']), ['Secret t=1']);
    assert.equal(await takeNext(envoy, 'listener'), 'Listener l=2');
    assert.equal(await takeNext(envoy, 'route'), 'RouteConfiguration r=2');
    lab.world.set('route r', '3');
    lab.publish();
    assert.equal(await takeNext(envoy, 'route'), 'RouteConfiguration r=3', 'a revocation does not wait for a cluster');
    lab.world.set('cluster c', '1').set('route r', '4');
    lab.publish();
    assert.deepEqual((await envoy.rest()).map(brief), [], 'what may name a cluster that was not sent yet does');
    acknowledge(envoy, clusters);
    assert.equal(await takeNext(envoy), 'Cluster c=1');
    assert.equal(await takeNext(envoy), 'RouteConfiguration r=4');
  });

  test('that replaces a cluster is sent its endpoints again, for which it waits and does not ask', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'endpoint a': '1' });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    await take(envoy, 'endpoint', ['a']);
    lab.world.set('cluster a', '2');
    lab.publish();
    assert.deepEqual([await takeNext(envoy), await takeNext(envoy)], ['Cluster a=2', 'ClusterLoadAssignment a=1']);
  });

  test('is sent nothing for a new generation of the same content', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'listener l': '1' });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    await take(envoy, 'listener', []);
    const encoded = lab.control.envoys.encodings();
    for (let at = 0; at < 3; at++) lab.publish();
    await lab.control.revokedChanged();
    assert.deepEqual((await envoy.rest()).map(brief), []);
    assert.equal(lab.control.envoys.encodings(), encoded);
  });

  test('alone makes no data plane: who stands beside it counts', async () => {
    const { lab, envoy } = await openStream();
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    assert.deepEqual(
      [lab.control.envoys.attended.get(lab.proxyId), lab.control.envoys.book.statusOf(lab.proxyId)?.connected],
      [undefined, true],
    );
    const companion = openDelta(await lab.connect());
    companion.say({ typeUrl: TRUST_BUNDLE_TYPE });
    await companion.next();
    assert.equal(lab.control.envoys.attended.get(lab.proxyId), 1);
  });
});

describe('a refusal by Envoy', () => {
  test('leaves the last good in force, is shown with its reason, and is never answered with the same', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'listener l': '1', 'listener m': '1', 'route r': '1' });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    await take(envoy, 'listener', [], 2);
    await take(envoy, 'route', ['r']);
    lab.world.delete('cluster a');
    lab.world.set('listener l', 'bad').set('listener m', '2').set('route r', '2');
    lab.publish();
    acknowledge(envoy, await envoy.next(types.listener), REFUSED);
    assert.equal(await takeNext(envoy), 'Listener m=2', 'the others are delivered');
    assert.equal(await takeNext(envoy), 'RouteConfiguration r=2');
    lab.publish();
    await lab.control.revokedChanged();
    assert.deepEqual((await envoy.rest()).map(brief), [], 'nor is the cluster taken that the last good may name');
    const [shown] = lab.control.envoys.book.statusOf(lab.proxyId)!.refused;
    assert.deepEqual([shown?.typeUrl, shown?.name, shown?.reason, shown?.by], [types.listener, 'l', 'KEY_VALUES_MISMATCH', 'envoy']);
    lab.world.set('listener l', 'good');
    lab.publish();
    assert.deepEqual([await takeNext(envoy), await takeNext(envoy)], ['Listener l=good', 'Cluster -a']);
    await envoy.rest();
    assert.deepEqual(lab.control.envoys.book.statusOf(lab.proxyId)?.refused, []);
  });

  test('of several clusters has each come again by itself, and blames one', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'cluster b': 'bad', 'cluster c': '1' });
    await using _lab = lab;
    envoy.say({ typeUrl: types.cluster });
    const first = await envoy.next();
    assert.equal(brief(first), 'Cluster a=1 b=bad c=1');
    acknowledge(envoy, first, REFUSED);
    const again: string[] = [];
    for (let at = 0; at < 3; at++) {
      const response = await envoy.next();
      again.push(brief(response));
      acknowledge(envoy, response, brief(response).includes('bad') ? REFUSED : {});
    }
    assert.deepEqual(again.toSorted(), ['Cluster a=1', 'Cluster b=bad', 'Cluster c=1']);
    assert.deepEqual((await envoy.rest()).map(brief), []);
    assert.deepEqual(
      lab.control.envoys.book.statusOf(lab.proxyId)?.refused.map(({ name }) => name),
      ['b'],
    );
  });

  test('that names its resource has the others come together', async () => {
    const { lab, envoy } = await openStream({ 'cluster first': '1', 'cluster second': 'bad', 'cluster third': '1' });
    await using _lab = lab;
    envoy.say({ typeUrl: types.cluster });
    acknowledge(envoy, await envoy.next(), {
      errorDetail: { code: 13, message: 'Error adding/updating cluster(s) second: no such thing' },
    });
    assert.equal(await takeNext(envoy), 'Cluster first=1 third=1');
    assert.equal(brief(await envoy.next()), 'Cluster second=bad');
  });

  test('outlives the stream, but not the Envoy', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'listener l': 'bad' });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    envoy.say({ typeUrl: types.listener });
    acknowledge(envoy, await envoy.next(), REFUSED);
    await envoy.rest();
    const back = openDelta(await lab.connect());
    back.say({ typeUrl: types.cluster, initialResourceVersions: { a: '1.1.1.6b86b273ff34fce19d6b804eff5a3f57' } });
    back.say({ typeUrl: types.listener });
    assert.deepEqual((await back.rest()).map(brief), ['Listener'], 'its own answer, with nothing in it');
    const fresh = openDelta(await lab.connect());
    await take(fresh, 'cluster', []);
    assert.deepEqual(await take(fresh, 'listener', []), ['Listener l=bad']);
  });
});

describe('what we would refuse ourselves', () => {
  test('is not sent: who has another form keeps it, who has none is told that there is none', async () => {
    const { lab, envoy } = await openStream({ 'secret s': '1' });
    await using _lab = lab;
    await take(envoy, 'secret', ['s']);
    lab.world.set('secret s', 'bad').set('secret t', 'bad').set('secret u', '1');
    for (const name of ['s', 't']) lab.faults.push({ typeUrl: types.secret, name, reason: 'the list cannot be read' });
    lab.publish();
    assert.deepEqual(await take(envoy, 'secret', ['t', 'u']), ['Secret u=1 -t']);
    assert.deepEqual((await envoy.rest()).map(brief), []);
    assert.deepEqual(
      lab.control.envoys.book.statusOf(lab.proxyId)?.refused.map(({ name, by, reason }) => [name, by, reason]),
      [
        ['s', 'countersign', 'the list cannot be read'],
        ['t', 'countersign', 'the list cannot be read'],
      ],
    );
    lab.faults.length = 0;
    lab.world.set('secret s', '2').delete('secret t');
    lab.publish();
    assert.equal(await takeNext(envoy), 'Secret s=2');
    assert.deepEqual(lab.control.envoys.book.statusOf(lab.proxyId)?.refused, []);
  });
});

describe('an Envoy that comes back', () => {
  test('is sent only what differs', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'cluster b': '1' });
    await using _lab = lab;
    envoy.say({ typeUrl: types.cluster });
    const first = await envoy.next();
    assert.match(first.resources[0]!.version, /^1\.1\.1\.[0-9a-f]{32}$/);
    await lab.control.stop();
    lab.world.set('cluster b', '2').set('cluster c', '1');
    lab.publish();
    await lab.control.start();
    const back = openDelta(await lab.connect());
    back.say({ typeUrl: types.cluster, initialResourceVersions: versionsOf(first) });
    assert.equal(await takeNext(back), 'Cluster b=2 c=1');
  });

  test('ahead of us is sent nothing, whatever it asks for, until we have passed it', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1', 'route r': '1' });
    await using _lab = lab;
    for (let at = 0; at < 4; at++) lab.publish();
    lab.world.set('cluster a', 'latest');
    lab.publish();
    envoy.say({ typeUrl: types.cluster });
    const latest = await envoy.next();
    lab.world.set('cluster a', 'older').set('cluster b', 'older');
    lab.restore(4n);
    const back = openDelta(await lab.connect());
    back.say({ typeUrl: types.cluster, initialResourceVersions: versionsOf(latest) });
    back.say({ typeUrl: types.route, resourceNamesSubscribe: ['r'] });
    assert.deepEqual((await back.rest()).map(brief), []);
    assert.equal(lab.control.envoys.book.statusOf(lab.proxyId)?.state, 'state-older');
    assert.equal(lab.control.logged.filter(({ event }) => event === 'envoy.state-older').length, 1);
    lab.publish();
    assert.deepEqual((await back.rest()).map(brief), [], 'generation 5 is not past 6');
    lab.publish();
    assert.equal(await takeNext(back, 'cluster'), 'Cluster a=older b=older');
    assert.equal(await takeNext(back, 'route'), 'RouteConfiguration r=1');
    assert.equal(lab.control.envoys.book.statusOf(lab.proxyId)?.state, 'current');
  });

  test('with a later trust bundle or revoked set is ahead, too; versions that are none of ours say nothing', async () => {
    const { lab } = await openStream({ 'cluster a': '1' });
    await using _lab = lab;
    for (const [version, isHeld] of [
      ['1.2.1.aa', true],
      ['1.1.2.aa', true],
      ['2.1.1.aa', true],
      ['1.1.1.aa', false],
      ['9', false],
      ['99.1.1.', false],
      ['01.1.1.aa', false],
      ['9999999999999999999.1.1.aa', false],
      ['-1.1.1.aa', false],
    ] as const) {
      const { proxyId, credential } = lab.newProxy();
      lab.control.setSettings(proxyId, lab.spiffeId, 1n, { plane: Plane.ENVOY });
      const back = openDelta(await lab.connect(credential));
      back.say({ typeUrl: types.cluster, initialResourceVersions: { a: version } });
      if (!isHeld) assert.equal(await takeNext(back), 'Cluster a=1', version);
      assert.deepEqual((await back.rest()).map(brief), [], version);
      assert.equal(lab.control.envoys.book.statusOf(proxyId)?.state, isHeld ? 'state-older' : 'current', version);
    }
  });

  test('and was started anew is sent what there is, however far it once was', async () => {
    const { lab } = await openStream({ 'cluster a': '1' });
    await using _lab = lab;
    const ahead = openDelta(await lab.connect());
    ahead.say({ typeUrl: types.cluster, initialResourceVersions: { a: '7.1.1.aa' } });
    await ahead.rest();
    assert.equal(lab.control.envoys.book.statusOf(lab.proxyId)?.state, 'state-older');
    assert.deepEqual(await take(openDelta(await lab.connect()), 'cluster', []), ['Cluster a=1']);
  });
});

describe('who an Envoy is', () => {
  test('is said by its certificate: the node that it names is not looked at', async () => {
    const { lab } = await openStream({ 'cluster a': 'of orders' });
    await using _lab = lab;
    const other = lab.newProxy();
    const envoy = openDelta(await lab.connect(other.credential));
    envoy.say({ typeUrl: types.cluster, node: { id: lab.proxyId, cluster: lab.proxyId } });
    assert.deepEqual((await envoy.rest()).map(brief), [], 'it has no settings, and so is no Envoy');
    envoy.say({ typeUrl: SETTINGS_TYPE, node: { id: lab.proxyId }, resourceNamesSubscribe: [lab.proxyId] });
    assert.match((await envoy.ended).details ?? '', /foreign-resource/);
  });

  test('one that is declared native is sent nothing', async () => {
    await using lab = await openEnvoyLab({ plane: Plane.UNSPECIFIED });
    lab.world.set('cluster a', '1');
    lab.publish();
    const envoy = openDelta(await lab.connect());
    envoy.say({ typeUrl: types.cluster });
    envoy.say({ typeUrl: types.secret, resourceNamesSubscribe: ['s'] });
    assert.deepEqual((await envoy.rest()).map(brief), []);
    assert.equal(lab.compiled.times, 0);
    assert.equal(lab.control.logged.filter(({ event }) => event === 'envoy.without-settings').length, 1);
  });

  test('one that is suspended loses its stream', async () => {
    const { lab, envoy } = await openStream({ 'cluster a': '1' });
    await using _lab = lab;
    await take(envoy, 'cluster', []);
    lab.control.revoked.suspendedSpiffeIds.push(lab.spiffeId);
    await lab.control.revokedChanged();
    assert.equal((await envoy.ended).code, status.PERMISSION_DENIED);
  });
});

describe('a client that does not keep to the protocol', () => {
  test('acknowledges nothing by a stale nonce, and yet changes what it wants by it', async () => {
    const { lab, envoy } = await openStream({ 'secret a': '1', 'secret b': '1' });
    await using _lab = lab;
    envoy.say({ typeUrl: types.secret, resourceNamesSubscribe: ['a'] });
    const first = await envoy.next();
    acknowledge(envoy, first);
    lab.world.set('secret a', '2');
    lab.publish();
    const second = await envoy.next();
    envoy.say({ typeUrl: types.secret, responseNonce: first.nonce, resourceNamesSubscribe: ['b'], ...REFUSED });
    assert.deepEqual((await envoy.rest()).map(brief), [], 'one push at a time');
    acknowledge(envoy, second);
    assert.equal(await takeNext(envoy), 'Secret b=1');
    assert.deepEqual(lab.control.envoys.book.statusOf(lab.proxyId)?.refused, []);
  });

  test('is answered each time that it asks for what it has, and for nothing once it unsubscribed from all', async () => {
    const { lab, envoy } = await openStream({ 'secret a': '1', 'cluster c': '1' });
    await using _lab = lab;
    for (let at = 0; at < 3; at++) assert.deepEqual(await take(envoy, 'secret', ['a']), ['Secret a=1']);
    await take(envoy, 'cluster', ['*', 'c']);
    envoy.say({ typeUrl: types.cluster, resourceNamesUnsubscribe: ['*', 'c'] });
    envoy.say({ typeUrl: types.secret, resourceNamesUnsubscribe: ['a', 'never-asked-for'] });
    await envoy.rest();
    lab.world.set('secret a', '2').set('cluster c', '2');
    lab.publish();
    assert.deepEqual((await envoy.rest()).map(brief), []);
    assert.deepEqual(await take(envoy, 'cluster', ['*']), ['Cluster c=2']);
  });

  test('and asks for more than there is room for is sent away', async () => {
    for (const request of [
      { typeUrl: types.secret, resourceNamesSubscribe: Array.from({ length: 5_001 }, (_, at) => `s${at}`) },
      { typeUrl: types.secret, resourceNamesSubscribe: ['x'.repeat(1_025)] },
      { typeUrl: types.secret, initialResourceVersions: Object.fromEntries(Array.from({ length: 5_001 }, (_, at) => [`s${at}`, '1'])) },
    ]) {
      const { lab, envoy } = await openStream();
      await using _lab = lab;
      envoy.say(request);
      assert.equal((await envoy.ended).code, status.INVALID_ARGUMENT);
    }
    const { lab, envoy } = await openStream();
    await using _lab = lab;
    for (let at = 0; at < 17; at++) envoy.say({ typeUrl: `type.test/${at}`, resourceNamesSubscribe: ['x'] });
    assert.equal((await envoy.ended).code, status.INVALID_ARGUMENT);
  });

  test('and never answers holds one response of a type, whatever changes', async () => {
    const { lab, envoy } = await openStream({ 'route r': '1', 'listener l': '1' });
    await using _lab = lab;
    envoy.say({ typeUrl: types.route, resourceNamesSubscribe: ['r'] });
    envoy.say({ typeUrl: types.listener });
    const before = await envoy.rest();
    assert.deepEqual(before.map(brief).toSorted(), ['Listener l=1', 'RouteConfiguration r=1']);
    for (let at = 2; at < 30; at++) {
      lab.world.set('route r', `${at}`).set('listener l', `${at}`);
      lab.publish();
      for (let flood = 0; flood < 20; flood++)
        envoy.say({ typeUrl: types.route, responseNonce: `${at * flood}`, resourceNamesSubscribe: ['r'] });
    }
    assert.deepEqual((await envoy.rest()).map(brief), []);
    acknowledge(
      envoy,
      before.find(({ typeUrl }) => typeUrl === types.listener)!,
    );
    assert.equal(await takeNext(envoy, 'listener'), 'Listener l=29');
  });
});

test('what cannot be made at all leaves every Envoy with what it has', async () => {
  const { lab, envoy } = await openStream({ 'cluster a': '1' });
  await using _lab = lab;
  await take(envoy, 'cluster', []);
  lab.world.set('cluster a', '2');
  lab.compiled.isBroken = true;
  lab.publish();
  assert.deepEqual((await envoy.rest()).map(brief), []);
  assert.ok(lab.control.envoys.failed.length > 0);
  const fresh = openDelta(await lab.connect(lab.newProxy().credential));
  fresh.say({ typeUrl: types.cluster, initialResourceVersions: { a: '1.1.1.aa' } });
  assert.deepEqual((await fresh.rest()).map(brief), [], 'nor is one that comes back told that all is gone');
});

test('many streams of a proxy share what was made once', async () => {
  const { lab } = await openStream({ 'cluster a': '1', 'cluster b': '1', 'listener l': '1' });
  await using _lab = lab;
  const envoys = await Promise.all(Array.from({ length: 10 }, async () => openDelta(await lab.connect())));
  await Promise.all(envoys.map((envoy) => take(envoy, 'cluster', [])));
  lab.world.set('cluster b', '2');
  lab.publish();
  await Promise.all(envoys.map((envoy) => takeNext(envoy)));
  assert.deepEqual([lab.control.envoys.encodings(), lab.compiled.times], [4, 2]);
});
