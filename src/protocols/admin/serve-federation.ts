import { type FederatedBundleRecord, listFederatedBundles } from '../../control/federation/bundle-store.ts';
import { OwnBundle } from '../../control/federation/own-bundle.ts';
import { listFederatedDomains } from '../../control/inventory/federated-domain-store.ts';
import type { FederatedDomainRecord } from '../../control/inventory/record.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { federationRoutes } from './federation-routes.ts';
import { type Handlers, items } from './handler.ts';

export function federationHandlers({ queries }: { readonly queries: Queries }): Pick<Handlers, keyof typeof federationRoutes> {
  const own = new OwnBundle(queries);
  return {
    'list-federated-domains': async ({ scope }) => {
      const bundles = new Map((await listFederatedBundles(queries)).map((bundle) => [bundle.domainId, bundle]));
      return items((await listFederatedDomains(queries, scope)).map((domain) => showDomain(domain, bundles.get(domain.id) ?? null)));
    },
    'read-own-bundle': async ({ now }) => {
      const bundle = await own.read(now);
      if (bundle === null) throw new Problem('not-found', 'Cannot read bundle: there is no authority yet');
      return { kind: 'octets', contentType: 'application/json', cacheControl: 'no-store', octets: bundle.octets };
    },
  };
}

/** What was declared of the bundle is long and stands in the declaration; what is in force says the rest. */
function showDomain({ id, environment, name, trustDomain, url, endpoint }: FederatedDomainRecord, bundle: FederatedBundleRecord | null) {
  return {
    id,
    environment,
    name,
    trustDomain,
    url,
    profile: endpoint.kind,
    endpointSpiffeId: endpoint.kind === 'https_spiffe' ? endpoint.spiffeId : null,
    sequence: bundle?.sequence ?? null,
    refreshHintMs: bundle?.refreshHintMs ?? null,
    authorities: (bundle?.authorities ?? []).map(({ subject, spkiSha256, notAfter }) => ({ subject: subject.text, spkiSha256, notAfter })),
    fetchedAt: bundle?.fetchedAt ?? null,
    triedAt: bundle?.triedAt ?? null,
    dueAt: bundle?.dueAt ?? null,
    fault: bundle?.fault ?? null,
  };
}
