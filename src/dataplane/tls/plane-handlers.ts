import type {
  OcspStaple,
  ProxySettings,
  RevokedSet,
  TicketKeys,
  TrustBundle,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Acknowledgement, LinkHandlers } from '../link/link-handlers.ts';

/** What the link tells of, where a plane of whatever kind puts it in force. */
export type ToldPlane = {
  applySettings(wire: ProxySettings): Promise<Acknowledgement>;
  applyTrustBundle(bundle: TrustBundle): Promise<Acknowledgement>;
  /** Of other trust domains, all that there are; a plane without it trusts none. */
  applyFederatedBundles?(bundles: readonly TrustBundle[]): Promise<Acknowledgement>;
  applyTicketKeys(keys: TicketKeys): Promise<Acknowledgement>;
  applyStaple(staple: OcspStaple): Promise<Acknowledgement>;
  applyRevokedSet(set: RevokedSet): Acknowledgement | Promise<Acknowledgement>;
  applyIdentity(identity: StoredIdentity): Promise<void>;
};

/** Has the plane do what the control plane says. */
export function handlersOf(plane: ToldPlane): LinkHandlers {
  return {
    onTrustBundle: (bundle) => plane.applyTrustBundle(bundle),
    ...(plane.applyFederatedBundles === undefined
      ? {}
      : { onFederatedBundles: (bundles: readonly TrustBundle[]) => plane.applyFederatedBundles!(bundles) }),
    onRevokedSet: async (set) => plane.applyRevokedSet(set),
    onTicketKeys: (keys) => plane.applyTicketKeys(keys),
    onStaple: (staple) => plane.applyStaple(staple),
    onSettings: (settings) => plane.applySettings(settings),
    onIdentity: (renewed) => plane.applyIdentity(renewed),
  };
}
