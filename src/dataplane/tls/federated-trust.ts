import type { TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type Anchors, besides, parseAnchors, type Trust } from './trust.ts';

/** The bundles of other trust domains as they were delivered. Each verifies the identities of its own domain alone, where the settings name that. */
export class FederatedTrust {
  #delivered: readonly Anchors[] = [];

  /** Takes all that there are, in place of what was. @throws input-invalid for our own trust domain and for one that comes twice; der-malformed */
  take(bundles: readonly TrustBundle[], home: string): void {
    const delivered = bundles.map(parseAnchors);
    const names = new Set(delivered.map(({ trustDomain }) => trustDomain));
    if (names.has(home) || names.size !== delivered.length)
      throw new Problem('input-invalid', 'Cannot use bundles of other trust domains: expected one of each, and none of ours');
    this.#delivered = delivered;
  }

  /** Our own trust beside that in the domains which these settings name. */
  under(own: Trust, settings: { readonly federatedTrustDomains: ReadonlySet<string> } | null): Trust {
    const named = this.#delivered.filter(({ trustDomain }) => settings?.federatedTrustDomains.has(trustDomain) ?? false);
    return besides(own, named);
  }
}
