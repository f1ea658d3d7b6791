import { toBinary } from '@bufbuild/protobuf';
import type { EntityId } from '../../src/core/ids/entity-id.ts';
import {
  type RevokedSet,
  RevokedSetSchema,
  type TrustBundle,
  TrustBundleSchema,
} from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { DRILL_JOB_TYPE, REVOKED_SET_TYPE, SETTINGS_TYPE, TICKET_KEYS_TYPE, TRUST_BUNDLE_TYPE } from '../../src/core/messages/type-urls.ts';
import type { ResourceSource } from '../../src/protocols/xds/resource-source.ts';
import { type Changes, ownSource, probeSource, type ResourceBody, sharedSource } from '../../src/protocols/xds/sources.ts';

/** The types of ours, over what a test holds in memory. */
export function testSources(state: {
  readonly bundle: TrustBundle;
  readonly revoked: RevokedSet;
  readonly tickets: ReadonlyMap<string, ResourceBody>;
  readonly drills: readonly ResourceBody[];
  readonly reads: { bundle: number };
  readonly readSettings: (proxyId: EntityId<'proxy'>) => Promise<ResourceBody | null>;
  readonly changes: { readonly [name in 'settings' | 'bundle' | 'revoked' | 'tickets' | 'drills']: Changes };
}): readonly ResourceSource[] {
  const { bundle, revoked, tickets, drills, reads, readSettings, changes } = state;
  const { trustDomain } = bundle;
  return [
    sharedSource({
      typeUrl: TRUST_BUNDLE_TYPE,
      read: async () => (reads.bundle++, { name: trustDomain, octets: toBinary(TrustBundleSchema, bundle) }),
      changes: changes.bundle,
    }),
    sharedSource({
      typeUrl: REVOKED_SET_TYPE,
      read: async () => ({ name: trustDomain, octets: toBinary(RevokedSetSchema, revoked) }),
      changes: changes.revoked,
    }),
    ownSource({ typeUrl: SETTINGS_TYPE, read: ({ proxyId }) => readSettings(proxyId), changes: changes.settings }),
    ownSource({ typeUrl: TICKET_KEYS_TYPE, read: async ({ proxyId }) => tickets.get(proxyId) ?? null, changes: changes.tickets }),
    probeSource({ typeUrl: DRILL_JOB_TYPE, read: async () => drills, changes: changes.drills }),
  ];
}
