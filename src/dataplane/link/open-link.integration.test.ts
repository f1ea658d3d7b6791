import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type ProxySettings, type RevokedSet, type TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Channel, Outcome, PathCountSchema, Side, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { DRILL_JOB_TYPE, REVOKED_SET_TYPE, SETTINGS_TYPE, TRUST_BUNDLE_TYPE } from '../../core/messages/type-urls.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { startTestControlPlane, type TestControlPlane, TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';
import { ACCEPTED, type Acknowledgement, type LinkHandlers, type LinkStatus } from './link-handlers.ts';
import { type Link, openLink } from './open-link.ts';

const held: AsyncDisposable[] = [];
after(async () => {
  for (const one of held.toReversed()) await one[Symbol.asyncDispose]();
});

async function plane(): Promise<TestControlPlane> {
  const started = await startTestControlPlane();
  held.push(started);
  return started;
}

type Events = EventEmitter<{ status: [LinkStatus]; identity: []; settings: [] }>;

/** A data plane that writes down what it is told. */
async function dataPlane(control: TestControlPlane, state: StateDirectory, more: Partial<LinkHandlers> = {}) {
  const seen = {
    order: [] as string[],
    settings: [] as ProxySettings[],
    bundles: [] as TrustBundle[],
    revoked: [] as RevokedSet[],
    identities: [] as StoredIdentity[],
    drills: [] as string[],
  };
  const events: Events = new EventEmitter();
  const handlers: LinkHandlers = {
    async onTrustBundle(bundle) {
      seen.order.push('bundle');
      seen.bundles.push(bundle);
      return ACCEPTED;
    },
    async onRevokedSet(set) {
      seen.order.push('revoked');
      seen.revoked.push(set);
      return ACCEPTED;
    },
    async onSettings(settings) {
      seen.order.push('settings');
      seen.settings.push(settings);
      events.emit('settings');
      return ACCEPTED;
    },
    async onIdentity(identity) {
      seen.identities.push(identity);
      events.emit('identity');
    },
    onStatus: (status) => events.emit('status', status),
    ...more,
  };
  const link = await openLink({ state, control: control.control, handlers, clock: control.clock, log: control.log, random: () => 0.5 });
  held.push(link);
  return { link, seen, events };
}

async function statusOf(link: Link, events: Events, kind: LinkStatus['kind']): Promise<LinkStatus> {
  while (link.status.kind !== kind) await once(events, 'status');
  return link.status;
}

const accepted = (endpointId: string, count: bigint) =>
  create(PathCountSchema, { side: Side.RECEIVER, endpointId, channel: Channel.MTLS, unit: Unit.CALL, outcome: Outcome.ACCEPTED, count });

describe('delivery', () => {
  test('bundle, revoked set and settings arrive in this order, are kept on disk, and are acknowledged', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    control.setSettings(proxyId, spiffeId, 7n);
    const { seen } = await dataPlane(control, state);
    const acknowledged = await control.acknowledgement(SETTINGS_TYPE);
    assert.deepEqual(acknowledged, { proxyId, typeUrl: SETTINGS_TYPE, name: proxyId, version: '7' });
    assert.deepEqual(seen.order, ['bundle', 'revoked', 'settings']);
    assert.equal((await state.readSettings())?.generation, 7n);
    assert.equal((await state.readTrustBundle())?.trustDomain, TRUST_DOMAIN);
    assert.equal((await state.readRevokedSet())?.sequence, 1n);
    await control.acknowledgement(TRUST_BUNDLE_TYPE);
    await control.acknowledgement(REVOKED_SET_TYPE);
  });

  test('a refusal is recorded with its reason, the old settings stay, and the same content is not sent again', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    control.setSettings(proxyId, spiffeId, 1n);
    let answer: Acknowledgement = ACCEPTED;
    const calls: bigint[] = [];
    await dataPlane(control, state, { onSettings: async ({ generation }) => (calls.push(generation), answer) });
    await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '1');
    answer = { kind: 'refused', reason: 'port 80 is taken' };
    control.setSettings(proxyId, spiffeId, 2n);
    const refused = await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '2');
    assert.match(refused.refusal ?? '', /port 80 is taken/);
    assert.equal((await state.readSettings())?.generation, 1n);
    control.changes.settings.notify();
    control.changes.settings.notify();
    answer = ACCEPTED;
    control.setSettings(proxyId, spiffeId, 3n);
    await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '3');
    assert.deepEqual(calls, [1n, 2n, 3n]);
  });

  test('a handler that throws refuses', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    control.setSettings(proxyId, spiffeId, 1n);
    await dataPlane(control, state, { onSettings: () => Promise.reject(new Error('no such group')) });
    assert.match((await control.acknowledgement(SETTINGS_TYPE)).refusal ?? '', /no such group/);
  });

  test('settings for another identity are refused by the data plane too', async () => {
    const control = await plane();
    const { state, proxyId } = await control.joined('orders');
    const { spiffeId: other } = await control.joined('payments');
    control.setSettings(proxyId, other, 1n);
    const { seen } = await dataPlane(control, state);
    assert.match((await control.acknowledgement(SETTINGS_TYPE)).refusal ?? '', /another proxy/);
    assert.equal(seen.settings.length, 0);
  });

  test('slow settings hold up no revocation', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    const slow = Promise.withResolvers<Acknowledgement>();
    control.setSettings(proxyId, spiffeId, 1n);
    const started = Promise.withResolvers<void>();
    const { seen } = await dataPlane(control, state, { onSettings: () => (started.resolve(), slow.promise) });
    await started.promise;
    control.revoked.suspendedSpiffeIds.push(`spiffe://${TRUST_DOMAIN}/prod/mallory`);
    await control.revokedChanged();
    await control.acknowledgement(
      REVOKED_SET_TYPE,
      ({ version }) => version !== control.acknowledged.find(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE)?.version,
    );
    assert.equal(seen.revoked.at(-1)?.suspendedSpiffeIds.length, 1);
    slow.resolve(ACCEPTED);
    await control.acknowledgement(SETTINGS_TYPE);
  });

  test('changes that come while a push is under way are merged into the next', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    control.setSettings(proxyId, spiffeId, 1n);
    const gate = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const calls: bigint[] = [];
    await dataPlane(control, state, {
      async onSettings({ generation }) {
        calls.push(generation);
        started.resolve();
        await gate.promise;
        return ACCEPTED;
      },
    });
    await started.promise;
    for (let generation = 2n; generation <= 20n; generation++) control.setSettings(proxyId, spiffeId, generation);
    gate.resolve();
    await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '20');
    assert.deepEqual(calls, [1n, 20n]);
  });

  test('one read of the bundle serves every stream', async () => {
    const control = await plane();
    for (let i = 0; i < 5; i++) await dataPlane(control, (await control.joined(`replica-${i}`)).state);
    while (control.acknowledged.filter(({ typeUrl }) => typeUrl === TRUST_BUNDLE_TYPE).length < 5)
      await once(control.events, 'acknowledged');
    assert.equal(control.reads.bundle, 1);
  });

  test('the probe gets its drill jobs', async () => {
    const control = await plane();
    const { state } = await control.joined('countersign/probe');
    const jobs: string[] = [];
    control.drills.push({ name: 'drill_1', octets: Buffer.from([10, 1, 65]) });
    await dataPlane(control, state, { onDrillJob: async ({ jobId }) => (jobs.push(jobId), ACCEPTED) });
    assert.equal((await control.acknowledgement(DRILL_JOB_TYPE)).name, 'drill_1');
    assert.deepEqual(jobs, ['A']);
  });
});

describe('without the control plane', () => {
  test('a link opens, says that it is offline, and catches up when the control plane comes', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    await control.stop();
    const { link, events } = await dataPlane(control, state);
    const status = await statusOf(link, events, 'offline');
    assert.equal(status.kind === 'offline' && status.problem, 'control-plane-unreachable');
    control.setSettings(proxyId, spiffeId, 1n);
    await control.start();
    await control.acknowledgement(SETTINGS_TYPE);
    await statusOf(link, events, 'connected');
  });

  test('after a restart only what changed is sent, and what did not change is acknowledged again', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    control.setSettings(proxyId, spiffeId, 1n);
    const { link, seen, events } = await dataPlane(control, state);
    await control.acknowledgement(SETTINGS_TYPE);
    await control.stop();
    await statusOf(link, events, 'offline');
    control.acknowledged.length = 0;
    control.settings.get(proxyId)!.generation = 2n;
    await control.start();
    await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '2');
    await control.acknowledgement(TRUST_BUNDLE_TYPE);
    await control.acknowledgement(REVOKED_SET_TYPE);
    assert.deepEqual(seen.order, ['bundle', 'revoked', 'settings', 'settings']);
  });

  test('reports wait, are sent in order, and none is lost or doubled', async () => {
    const control = await plane();
    control.scope.serves.add('endpoint_a');
    const { state } = await control.joined('orders');
    const { link, events } = await dataPlane(control, state);
    await statusOf(link, events, 'connected');
    link.report({ counts: [accepted('endpoint_a', 1n)] });
    await control.report();
    await control.stop();
    await statusOf(link, events, 'offline');
    for (let i = 0; i < 20; i++) link.report({ counts: [accepted('endpoint_a', 1n)] });
    await control.start();
    await control.report(({ sequence }) => sequence === 21n);
    const numbers = new Set(control.reports.map(({ sequence }) => sequence));
    assert.equal(numbers.size, 21);
    const firsts = [...numbers];
    assert.deepEqual(
      firsts,
      firsts.toSorted((a, b) => Number(a - b)),
    );
  });

  test('a report that is refused is given up, and those behind it go through', async () => {
    const control = await plane();
    control.scope.serves.add('endpoint_a');
    const { state } = await control.joined('orders');
    const { link, events } = await dataPlane(control, state);
    await statusOf(link, events, 'connected');
    link.report({ counts: [accepted('endpoint_of_another', 1n)] });
    link.report({ counts: [accepted('endpoint_a', 5n)] });
    const report = await control.report();
    assert.equal(report.sequence, 2n);
    await control.event('link.report-refused');
    assert.equal(link.status.kind, 'connected');
  });
});

describe('renewal', () => {
  test('by time: a new key and certificate, kept, handed over, and used for a new connection before the old one ends', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders', {
      notBefore: control.clock.now() - DAY_MS,
      notAfter: control.clock.now() + HOUR_MS,
    });
    control.setSettings(proxyId, spiffeId, 1n);
    const before = (await state.readIdentity())!;
    const { link, seen, events } = await dataPlane(control, state);
    while (seen.identities.length === 0) await once(events, 'identity');
    const [identity] = seen.identities;
    assert.notDeepEqual(identity!.chain[0], before.chain[0]);
    assert.ok(!identity!.privateKey.equals(before.privateKey));
    assert.deepEqual(Buffer.from((await state.readIdentity())!.chain[0]!), Buffer.from(identity!.chain[0]!));
    assert.equal(link.identity.proxyId, proxyId);
    await control.event('link.certificate-renewed');
    assert.ok(!control.logged.some(({ event }) => event === 'link.offline'), 'the link was never down');
    control.setSettings(proxyId, spiffeId, 2n);
    await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '2');
  });

  test('by epoch: the first settings set the mark, a rise renews once', async () => {
    const control = await plane();
    const { state, proxyId, spiffeId } = await control.joined('orders');
    const certificate = { renewAtPermille: 500, renewalEpoch: 4n, renewalSmearMs: 0 };
    control.setSettings(proxyId, spiffeId, 1n, { certificate });
    const { link, seen, events } = await dataPlane(control, state);
    await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '1');
    assert.equal(link.identity.renewalEpoch, 4n);
    assert.equal(seen.identities.length, 0);
    control.setSettings(proxyId, spiffeId, 2n, { certificate: { ...certificate, renewalEpoch: 5n } });
    while (seen.identities.length === 0) await once(events, 'identity');
    assert.equal((await state.readIdentity())?.renewalEpoch, 5n);
    control.setSettings(proxyId, spiffeId, 3n, { certificate: { ...certificate, renewalEpoch: 5n } });
    await control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === '3');
    assert.equal(seen.identities.length, 1);
  });

  test('the control plane sees the new certificate on the stream', async () => {
    const control = await plane();
    const { state } = await control.joined('orders');
    const { link, events } = await dataPlane(control, state);
    await statusOf(link, events, 'connected');
    const old = parseCertificate(link.identity.chain[0]!);
    await link.renew();
    // The old certificate may fall now: the link lives by the new one.
    control.revoked.certificates.push({
      $typeName: 'countersign.v1.RevokedCertificate',
      forDrill: false,
      subject: new Uint8Array(),
      issuerKeySha256: Buffer.from(control.authority.issuing.spkiSha256, 'hex'),
      serial: old.serial,
    });
    await control.revokedChanged();
    await link.renew();
    assert.equal(link.status.kind, 'connected');
  });
});

describe('what the link itself must live by', () => {
  test('a bundle under which the control plane is a stranger is refused, and nothing of it is kept', async () => {
    const control = await plane();
    const { state } = await control.joined('orders');
    const { seen } = await dataPlane(control, state);
    await control.acknowledgement(TRUST_BUNDLE_TYPE);
    const kept = await state.readTrustBundle();
    const other = makeTestAuthority(control.clock.now(), 'Other');
    control.bundle.authorities[0]!.certificate = other.root.der;
    control.changes.bundle.notify();
    const refused = await control.acknowledgement(TRUST_BUNDLE_TYPE, ({ refusal }) => refusal !== undefined);
    assert.match(refused.refusal ?? '', /control plane itself does not verify/);
    assert.equal(seen.bundles.length, 1);
    assert.deepEqual(await state.readTrustBundle(), kept);
  });

  test('a second root beside the first is taken', async () => {
    const control = await plane();
    const { state } = await control.joined('orders');
    const { seen } = await dataPlane(control, state);
    await control.acknowledgement(TRUST_BUNDLE_TYPE);
    const other = makeTestAuthority(control.clock.now(), 'Other');
    control.bundle.authorities.push({ ...control.bundle.authorities[0]!, certificate: other.root.der });
    control.changes.bundle.notify();
    const first = control.acknowledged.find(({ typeUrl }) => typeUrl === TRUST_BUNDLE_TYPE)!.version;
    const second = await control.acknowledgement(TRUST_BUNDLE_TYPE, ({ version }) => version !== first);
    assert.equal(second.refusal, undefined);
    assert.equal(seen.bundles.length, 2);
  });

  test('the connection to a control plane whose certificate was revoked is not kept', async () => {
    const control = await plane();
    const { state } = await control.joined('orders');
    const { link, events } = await dataPlane(control, state);
    await control.acknowledgement(REVOKED_SET_TYPE);
    const issuerKeySha256 = Buffer.from(control.authority.issuing.spkiSha256, 'hex');
    control.revoked.certificates.push({
      $typeName: 'countersign.v1.RevokedCertificate',
      forDrill: false,
      subject: new Uint8Array(),
      issuerKeySha256,
      serial: control.serverSerial(),
    });
    await control.revokedChanged();
    await control.event('link.control-plane-fell');
    const status = await statusOf(link, events, 'offline');
    assert.ok(status.kind === 'offline' && ['control-plane-unreachable', 'control-plane-unverified'].includes(status.problem));
  });

  test('a disk that takes nothing holds up no revocation; it is written as soon as the disk can', async () => {
    const control = await plane();
    const { state } = await control.joined('orders');
    let isFull = true;
    const written = Promise.withResolvers<void>();
    const full: StateDirectory = {
      ...state,
      async writeRevokedSet(set) {
        if (isFull) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        await state.writeRevokedSet(set);
        written.resolve();
      },
    };
    const { seen } = await dataPlane(control, full);
    assert.equal((await control.acknowledgement(REVOKED_SET_TYPE)).refusal, undefined);
    assert.equal(seen.revoked.length, 1);
    await control.event('link.state-not-saved');
    isFull = false;
    await written.promise;
    assert.equal((await state.readRevokedSet())?.sequence, 1n);
  });
});

test('a suspended data plane loses its stream, and its renewal is refused', async () => {
  const control = await plane();
  const { state, spiffeId } = await control.joined('orders');
  const { link, events } = await dataPlane(control, state);
  await statusOf(link, events, 'connected');
  control.revoked.suspendedSpiffeIds.push(spiffeId);
  await control.revokedChanged();
  const status = await statusOf(link, events, 'offline');
  assert.equal(status.kind === 'offline' && status.problem, 'forbidden');
  await assert.rejects(link.renew(), { code: 'control-plane-unreachable' });
});

test('openLink() without a join is refused', async () => {
  const control = await plane();
  const { state } = await control.joined('orders');
  const empty = { ...state, readIdentity: async () => null };
  await assert.rejects(dataPlane(control, empty), { code: 'state-conflict' });
});
