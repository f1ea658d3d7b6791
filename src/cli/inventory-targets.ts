import { defaultPolicy, type Policy } from '../core/policy/policy.ts';
import { openClient } from './client.ts';
import { type CheckTarget, identityOfHost, parseTarget } from './check-target.ts';
import { type Invocation, textOption } from './command.ts';
import { listPolicies } from './fetch-policies.ts';
import { queryOf } from './environment-query.ts';
import { readAnchors } from './read-anchors.ts';
import { readTextFile } from './read-text-file.ts';

type Listed<T> = { readonly items: readonly T[] };
type ListedService = { readonly id: string; readonly spiffeId: string };
type ListedPath = { readonly endpointId: string; readonly mode: string };
type ListedEndpoint = {
  readonly id: string;
  readonly environment: string;
  readonly name: string;
  readonly serviceId: string;
  readonly protocol: string;
  readonly addresses: readonly string[];
  readonly policy: string;
  readonly external: { readonly serverName: string; readonly anchorsPem: string } | null;
};

/**
 * Every address of the endpoints in the control plane's inventory, each with its own policy and identity. Ours chain to the root that the control
 * plane itself is pinned to; where every path is enforced, a client certificate has to be required.
 */
export async function inventoryTargets(invocation: Invocation): Promise<readonly CheckTarget[]> {
  const client = openClient(invocation);
  const query = queryOf(invocation);
  const [endpoints, services, policies, paths] = await Promise.all([
    client.get<Listed<ListedEndpoint>>(`/v1/endpoints${query}`),
    client.get<Listed<ListedService>>(`/v1/services${query}`),
    listPolicies(client, query),
    client.get<Listed<ListedPath>>(`/v1/paths${query}`),
  ]);
  const rootFile = textOption(invocation, 'root') ?? process.env['COUNTERSIGN_ROOT'] ?? '';
  const known: Known = {
    anchors: readAnchors(rootFile, await readTextFile(rootFile)),
    spiffeIds: new Map(services.items.map(({ id, spiffeId }) => [id, spiffeId])),
    policies: new Map(policies.map(({ environment, name, policy }) => [`${environment}/${name}`, policy])),
    modes: Map.groupBy(paths.items, ({ endpointId }) => endpointId),
  };
  return endpoints.items.flatMap((endpoint) => endpoint.addresses.map((address) => targetOf(endpoint, address, known)));
}

type Known = {
  readonly anchors: CheckTarget['anchors'];
  readonly spiffeIds: ReadonlyMap<string, string>;
  readonly policies: ReadonlyMap<string, Policy>;
  readonly modes: ReadonlyMap<string, readonly ListedPath[]>;
};

function targetOf(endpoint: ListedEndpoint, address: string, known: Known): CheckTarget {
  const { environment, name, external, protocol } = endpoint;
  const modes = known.modes.get(endpoint.id) ?? [];
  const isEnforced = modes.length > 0 && modes.every(({ mode }) => mode === 'enforce');
  return {
    ...parseTarget(address),
    name: `${environment}/${name}@${address}`,
    place: null,
    serverName: external?.serverName ?? null,
    speech: protocol === 'http' ? 'http' : 'other',
    policy: known.policies.get(`${environment}/${endpoint.policy}`) ?? defaultPolicy,
    identity: external === null ? { kind: 'uri', uri: known.spiffeIds.get(endpoint.serviceId) ?? '' } : identityOfHost(external.serverName),
    anchors: external === null ? known.anchors : readAnchors(`the anchors of ${name}`, external.anchorsPem),
    clientCertificate: external === null && isEnforced ? 'required' : null,
  };
}
