import { fromBinary } from '@bufbuild/protobuf';
import { trustDomainOf } from '../../core/identity/spiffe-id.ts';
import { BundleAuthority_Role, type TrustBundle, TrustBundleSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { TRUST_BUNDLE_TYPE } from '../../core/messages/type-urls.ts';
import { ACCEPTED, type Acknowledgement } from './link-handlers.ts';
import type { Subscription } from './subscription.ts';
import type { SubscriptionDeps } from './subscription-deps.ts';

/**
 * Our own trust bundle, and those of the other trust domains that our settings name: the control plane knows which, so all are asked for.
 * `federated` are the latter by trust domain, as they are in force, over connections.
 */
export function trustSubscription({ identity, state, handlers, saver, objection, accepted, federated }: SubscriptionDeps): Subscription {
  const own = trustDomainOf(identity.spiffeId);
  const applyOwn = async (bundle: TrustBundle): Promise<Acknowledgement> => {
    if (!bundle.authorities.some(({ role }) => role === BundleAuthority_Role.ROOT)) return refuse('the bundle has no root');
    const against = objection(bundle);
    if (against !== null) return refuse(against);
    const answer = await handlers.onTrustBundle(bundle);
    if (answer.kind === 'refused') return answer;
    await saver.save('trust-bundle', () => state.writeTrustBundle(bundle));
    accepted.trustBundle(bundle);
    return answer;
  };
  const applyFederated = async (next: ReadonlyMap<string, TrustBundle>): Promise<Acknowledgement> => {
    const answer = (await handlers.onFederatedBundles?.([...next.values()])) ?? refuse('no other trust domain is trusted here');
    if (answer.kind === 'refused') return answer;
    federated.clear();
    for (const [name, bundle] of next) federated.set(name, bundle);
    await saver.save('federated-bundles', () => state.writeFederatedBundles([...next.values()]));
    return ACCEPTED;
  };
  return {
    typeUrl: TRUST_BUNDLE_TYPE,
    names: ['*'],
    async apply(name, octets) {
      const bundle = fromBinary(TrustBundleSchema, octets);
      if (bundle.trustDomain !== name) return refuse(`the bundle is for ${JSON.stringify(bundle.trustDomain)}`);
      return name === own ? applyOwn(bundle) : applyFederated(new Map([...federated, [name, bundle]]));
    },
    async remove(name) {
      // Without our own bundle we would trust nobody, the control plane included: that nobody can have meant.
      if (name !== own && federated.has(name)) await applyFederated(new Map([...federated].filter(([held]) => held !== name)));
    },
  };
}

function refuse(reason: string): Acknowledgement {
  return { kind: 'refused', reason };
}
