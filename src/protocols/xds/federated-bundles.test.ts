import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import type { FederatedBundleRecord } from '../../control/federation/bundle-store.ts';
import type { TrustDomainNeed } from '../../control/fleet/store.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { TrustBundleSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { ResourceSchema } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import type { Node } from '../data-plane/peer.ts';
import { trustBundleSource } from './authority-sources.ts';
import type { EncodedResource } from './encoded-resource.ts';
import { readFederatedBundles } from './federated-bundles.ts';

const NOW = Date.UTC(2026, 10, 28);
const [production, stage] = ['Production', 'Stage'].map((name) => makeTestAuthority(NOW, name).root) as [
  ReturnType<typeof makeTestAuthority>['root'],
  ReturnType<typeof makeTestAuthority>['root'],
];
const own = { sequence: 1, trustDomain: parseTrustDomain('acme.example'), authorities: [] };

function record(environment: string, trustDomain: string, authorities: FederatedBundleRecord['authorities']): FederatedBundleRecord {
  const common = { declared: '', refreshHintMs: null, fetchedAt: null, triedAt: null, dueAt: 0, fault: null } as const;
  return {
    ...common,
    domainId: `domain_${environment}`,
    environment,
    trustDomain: parseTrustDomain(trustDomain),
    sequence: 3,
    authorities,
  };
}

const need = (proxy: string, environment: string, ...trustDomains: string[]): TrustDomainNeed => ({
  proxyId: proxy as EntityId<'proxy'>,
  environment,
  trustDomains,
});

function openSource() {
  const state = {
    needs: [need('proxy_1', 'production', 'partner.example'), need('proxy_2', 'stage', 'partner.example')],
    bundles: [record('production', 'partner.example', [production]), record('stage', 'partner.example', [stage])],
    reads: 0,
  };
  const changed = makeSignal();
  const federated = readFederatedBundles({
    readNeeds: async () => (state.reads++, state.needs),
    readBundles: async () => state.bundles,
    changes: [changed],
  });
  return { state, changed, source: trustBundleSource({ read: async () => own, changes: makeSignal(), federated }) };
}

const node = (proxyId: string): Node => ({ proxyId }) as unknown as Node;
const bundleOf = ({ body }: EncodedResource) => fromBinary(TrustBundleSchema, fromBinary(ResourceSchema, body).resource!.value);

test('a data plane is sent the bundles that its settings need, in its own environment, and no others', async () => {
  const { source } = openSource();
  const namesFor = async (proxyId: string, names: readonly string[] | null) =>
    (await source.read(node(proxyId), names)).map(({ name }) => name);
  assert.deepEqual(await namesFor('proxy_1', null), ['acme.example', 'partner.example']);
  assert.deepEqual(await namesFor('proxy_3', null), ['acme.example']);
  // Asked for by name it is not there for whoever does not need it.
  assert.deepEqual(await namesFor('proxy_3', ['partner.example', 'acme.example']), ['acme.example']);
  assert.deepEqual(await namesFor('proxy_1', ['partner.example']), ['partner.example']);
  for (const [proxyId, authority] of [
    ['proxy_1', production],
    ['proxy_2', stage],
  ] as const) {
    const [, resource] = await source.read(node(proxyId), null);
    const bundle = bundleOf(resource!);
    assert.deepEqual(
      bundle.authorities.map(({ certificate }) => Buffer.from(certificate)),
      [Buffer.from(authority.der)],
    );
  }
});

test('all is read once a change, whatever the number of streams', async () => {
  const { state, changed, source } = openSource();
  for (let stream = 0; stream < 50; stream++) await source.read(node(`proxy_${stream}`), null);
  assert.equal(state.reads, 1);
  state.bundles = [];
  let told = 0;
  source.subscribe(() => void told++);
  changed.notify();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(told, 1);
  const [, resource] = await source.read(node('proxy_1'), null);
  assert.equal(state.reads, 2);
  // A domain that has no bundle any more is not left to what was sent before.
  assert.deepEqual(bundleOf(resource!).authorities, []);
});
