import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { identityOf, ORDERS, ProxyLab } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { BundleAuthority_Role, type TrustBundle, TrustBundleSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { openStateDirectory } from '../../platform/keystore/state-directory.ts';
import { ACCEPTED, type Acknowledgement, type LinkHandlers } from './link-handlers.ts';
import { StateSaver } from './state-saver.ts';
import { trustSubscription } from './trust-subscription.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-trust-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [one, other] = ['One', 'Other'].map((name) => makeTestAuthority(Date.now(), name).root.der) as [Uint8Array, Uint8Array];

function bundle(trustDomain: string, ...roots: readonly Uint8Array[]): Uint8Array {
  const authorities = roots.map((certificate) => ({ role: BundleAuthority_Role.ROOT, certificate }));
  return toBinary(TrustBundleSchema, create(TrustBundleSchema, { trustDomain, authorities }));
}

async function openLab(name: string, answer: () => Acknowledgement = () => ACCEPTED) {
  await using lab = new ProxyLab();
  const state = await openStateDirectory(join(folder, name));
  const told: string[][] = [];
  const own: string[] = [];
  const handlers = {
    onTrustBundle: async ({ trustDomain }: TrustBundle) => (own.push(trustDomain), ACCEPTED),
    onFederatedBundles: async (bundles: readonly TrustBundle[]) => {
      const said = answer();
      if (said.kind === 'accepted') told.push(bundles.map(({ trustDomain, authorities }) => `${trustDomain} ${authorities.length}`));
      return said;
    },
  } as unknown as LinkHandlers;
  const held = ((await state.readFederatedBundles()) ?? []).map((one): [string, TrustBundle] => [one.trustDomain, one]);
  const subscription = trustSubscription({
    identity: { ...identityOf(ORDERS, lab.credential, lab.authority), proxyId: 'proxy_1', controlPlane: ORDERS, renewalEpoch: 0n } as never,
    state,
    handlers,
    saver: new StateSaver(() => {}),
    federated: new Map(held),
    objection: () => null,
    accepted: { trustBundle() {}, revokedSet() {}, settings: async () => {} },
  });
  return { state, told, own, subscription };
}

test('each change hands over all bundles of other domains, and all are kept for the next start', async () => {
  const lab = await openLab('kept');
  await lab.subscription.apply('one.example', bundle('one.example', one));
  await lab.subscription.apply('other.example', bundle('other.example', other));
  await lab.subscription.apply('one.example', bundle('one.example'));
  assert.deepEqual(lab.told, [['one.example 1'], ['one.example 1', 'other.example 1'], ['one.example 0', 'other.example 1']]);
  const again = await openLab('kept');
  // The first of several that arrive after a restart takes none of the others away.
  await again.subscription.apply('one.example', bundle('one.example', one));
  assert.deepEqual(again.told, [['one.example 1', 'other.example 1']]);
  await again.subscription.remove!('one.example');
  assert.deepEqual(again.told.at(-1), ['other.example 1']);
  assert.deepEqual(
    (await again.state.readFederatedBundles())?.map(({ trustDomain }) => trustDomain),
    ['other.example'],
  );
});

test('our own bundle is nobody else’s, is never removed, and no other name is taken for it', async () => {
  const lab = await openLab('own');
  assert.equal((await lab.subscription.apply('acme.example', bundle('acme.example', one))).kind, 'accepted');
  await lab.subscription.remove!('acme.example');
  assert.deepEqual(lab.told, []);
  assert.equal((await lab.subscription.apply('acme.example', bundle('acme.example'))).kind, 'refused');
  assert.equal((await lab.subscription.apply('one.example', bundle('acme.example', one))).kind, 'refused');
  assert.equal((await lab.subscription.apply('acme.example', bundle('one.example', one))).kind, 'refused');
  assert.deepEqual(lab.own, ['acme.example']);
});

test('what is refused is neither kept nor handed over again', async () => {
  const lab = await openLab('refused', () => ({ kind: 'refused', reason: 'no' }));
  assert.equal((await lab.subscription.apply('one.example', bundle('one.example', one))).kind, 'refused');
  assert.equal(await lab.state.readFederatedBundles(), null);
});
