import { create, toBinary } from '@bufbuild/protobuf';
import { createHash } from 'node:crypto';
import type { FederatedBundleRecord } from '../../control/federation/bundle-store.ts';
import type { TrustDomainNeed } from '../../control/fleet/store.ts';
import { BundleAuthority_Role, type TrustBundle, TrustBundleSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { TRUST_BUNDLE_TYPE } from '../../core/messages/type-urls.ts';
import type { Node } from '../data-plane/peer.ts';
import { encodeResource, type EncodedResource } from './encoded-resource.ts';
import type { Changes } from './sources.ts';

export type FederatedBundleDeps = {
  /** Which data planes' settings need which trust domains. */
  readonly readNeeds: () => Promise<readonly TrustDomainNeed[]>;
  readonly readBundles: () => Promise<readonly FederatedBundleRecord[]>;
  /** Told of a change of either. */
  readonly changes: readonly Changes[];
};

/** The bundles of other trust domains, for the data planes whose settings need them: read and encoded once a change, whatever the number of streams. */
export type FederatedBundleReader = Changes & { read(node: Node): Promise<readonly EncodedResource[]> };

export function readFederatedBundles({ readNeeds, readBundles, changes }: FederatedBundleDeps): FederatedBundleReader {
  let held: Promise<ReadonlyMap<string, readonly EncodedResource[]>> | null = null;
  // Before any stream, so that a stream that is told of a change finds nothing old here.
  for (const change of changes) change.subscribe(() => (held = null));
  const load = async (): Promise<ReadonlyMap<string, readonly EncodedResource[]>> => {
    const needs = await readNeeds();
    const bundles = new Map(needs.length === 0 ? [] : (await readBundles()).map((bundle) => [keyOf(bundle), bundle]));
    const encoded = new Map<string, EncodedResource>();
    const resourceOf = (environment: string, trustDomain: string): EncodedResource => {
      const key = keyOf({ environment, trustDomain });
      const known = encoded.get(key) ?? encodeBundle(trustDomain, bundles.get(key) ?? null);
      encoded.set(key, known);
      return known;
    };
    return new Map(
      needs.map(({ proxyId, environment, trustDomains }) => [proxyId, trustDomains.map((name) => resourceOf(environment, name))]),
    );
  };
  return {
    async read({ proxyId }) {
      const loading = (held ??= load());
      // A failed read is not kept.
      loading.catch(() => held === loading && (held = null));
      return (await loading).get(proxyId) ?? NONE;
    },
    subscribe: (listener) => eitherOf(changes).subscribe(listener),
  };
}

/** Tells of a change of any of these. */
export function eitherOf(changes: readonly Changes[]): Changes {
  return {
    subscribe(listener) {
      const subscriptions = changes.map((change) => change.subscribe(listener));
      return { [Symbol.dispose]: () => subscriptions.forEach((subscription) => subscription[Symbol.dispose]()) };
    },
  };
}

/** Without a bundle nothing of the domain is trusted, and the data plane is told so: otherwise it would go on with what it had. */
export function federatedBundleMessage(
  trustDomain: string,
  bundle: Pick<FederatedBundleRecord, 'authorities' | 'sequence'> | null,
): TrustBundle {
  const authorities = (bundle?.authorities ?? []).map(({ der }) => ({ role: BundleAuthority_Role.ROOT, certificate: der }));
  return create(TrustBundleSchema, { trustDomain, sequence: BigInt(bundle?.sequence ?? 0), authorities });
}

function encodeBundle(trustDomain: string, bundle: FederatedBundleRecord | null): EncodedResource {
  const octets = toBinary(TrustBundleSchema, federatedBundleMessage(trustDomain, bundle));
  return encodeResource(TRUST_BUNDLE_TYPE, trustDomain, createHash('sha256').update(octets).digest('hex'), octets);
}

function keyOf({ environment, trustDomain }: { readonly environment: string; readonly trustDomain: string }): string {
  return `${environment} ${trustDomain}`;
}

const NONE: readonly EncodedResource[] = [];
