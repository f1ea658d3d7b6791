import type { ProxySettings, RevokedSet, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { LinkHandlers } from './link-handlers.ts';
import type { StateSaver } from './state-saver.ts';

/** What the subscriptions of a data plane are made from. */
export type SubscriptionDeps = {
  readonly identity: StoredIdentity;
  readonly state: StateDirectory;
  readonly handlers: LinkHandlers;
  readonly saver: StateSaver;
  /** Bundles of other trust domains in force, by trust domain. */
  readonly federated: Map<string, TrustBundle>;
  /** Why the link itself cannot live by this bundle, or null. */
  readonly objection: (bundle: TrustBundle) => string | null;
  /** What the link itself keeps of what was accepted. */
  readonly accepted: {
    readonly trustBundle: (bundle: TrustBundle) => void;
    readonly revokedSet: (set: RevokedSet) => void;
    readonly settings: (settings: ProxySettings) => Promise<void>;
  };
};
