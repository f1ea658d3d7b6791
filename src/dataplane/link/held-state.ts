import type { CertificateCadence, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import { type HeldTrust, openHeldTrust } from './held-trust.ts';

/** What of the link was in force before this start. */
export type HeldState = {
  readonly trust: HeldTrust;
  /** Bundles of other trust domains, by trust domain. */
  readonly federated: Map<string, TrustBundle>;
  readonly cadence: CertificateCadence | null;
};

/** @throws state-corrupt, state-permissions */
export async function readHeldState({
  identity,
  state,
}: {
  readonly identity: StoredIdentity;
  readonly state: StateDirectory;
}): Promise<HeldState> {
  const trust = openHeldTrust(identity, await state.readTrustBundle(), await state.readRevokedSet());
  const settings = await state.readSettings();
  const bundles = (await state.readFederatedBundles()) ?? [];
  return { trust, federated: new Map(bundles.map((bundle) => [bundle.trustDomain, bundle])), cadence: settings?.certificate ?? null };
}
