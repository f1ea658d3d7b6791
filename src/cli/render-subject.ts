import { parseDeclaration } from '../control/inventory/parse-declaration.ts';
import type { Declaration } from '../control/inventory/declaration.ts';
import { serviceSpiffeId } from '../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../core/identity/trust-domain.ts';
import { defaultPolicy, type Policy } from '../core/policy/policy.ts';
import { policyDigest } from '../core/policy/policy-digest.ts';
import { Problem } from '../core/problems/problem.ts';
import type { RenderSubject } from '../core/render/parse-render-order.ts';
import { readStoredPolicy } from '../core/render/stored-policy.ts';
import { openClient } from './client.ts';
import { type Invocation, textOption, UsageError } from './command.ts';
import { readTextFile } from './read-text-file.ts';

type Found = Pick<RenderSubject, 'title' | 'policy' | 'callers' | 'narrowedRoutes'>;

/** What the proxy has to be for others: an endpoint, or a policy alone with callers beside it. */
type Endpoint = {
  readonly name: string;
  readonly environment: string | null;
  readonly protocol: string;
  readonly policy: string;
  readonly allowedCallers: readonly string[];
  readonly routes: readonly { readonly callers: readonly string[] }[];
  readonly external: unknown;
};
type NamedPolicy = { readonly name: string; readonly environment: string | null; readonly policy: Policy };
type Known = { readonly endpoints: readonly Endpoint[]; readonly policies: readonly NamedPolicy[] };

/** Reads endpoint and policy from the control plane, or from a file of declarations, with which nothing is asked of anybody. */
export async function findRenderSubject(invocation: Invocation): Promise<Found> {
  const [endpointName, policyName, clients] = ['endpoint', 'policy', 'clients'].map((name) => textOption(invocation, name));
  if ((endpointName === undefined) === (policyName === undefined)) throw new UsageError('expected --endpoint, or --policy with --callers');
  if (clients !== undefined && clients !== 'certified' && clients !== 'anonymous')
    throw new UsageError(`--clients ${clients}, expected certified or anonymous`);
  const file = textOption(invocation, 'file');
  const known = file === undefined ? await askControlPlane(invocation) : readKnown(parseDeclaration(await readTextFile(file)));
  const environment = textOption(invocation, 'environment');
  const endpoint = endpointName === undefined ? null : pick('endpoint', known.endpoints, { name: endpointName, environment });
  if (endpoint !== null) refuseUnwritten(endpoint);
  const name = endpoint?.policy ?? policyName!;
  const policy = findPolicy(known, name, endpoint?.environment ?? environment);
  const isAnonymous = clients === 'anonymous';
  const callers = endpoint === null ? readCallers(invocation, isAnonymous) : resolveCallers(endpoint.allowedCallers, invocation);
  if (endpoint !== null && textOption(invocation, 'callers') !== undefined)
    throw new UsageError('--callers beside --endpoint, which has its own');
  return {
    title: `${endpoint === null ? '' : `endpoint ${endpoint.name} under `}policy ${name} (sha256 ${policyDigest(policy).slice(0, 16)})`,
    policy: readStoredPolicy(policy),
    callers: isAnonymous ? 'anonymous' : callers,
    narrowedRoutes: endpoint === null ? 0 : endpoint.routes.filter(({ callers }) => !isSame(callers, endpoint.allowedCallers)).length,
  };
}

async function askControlPlane(invocation: Invocation): Promise<Known> {
  const client = openClient(invocation);
  const list = async <T>(path: string): Promise<readonly T[]> => (await client.get<{ readonly items: readonly T[] }>(path)).items;
  return { endpoints: await list<Endpoint>('/v1/endpoints'), policies: await list<NamedPolicy>('/v1/policies') };
}

function readKnown(declarations: readonly Declaration[]): Known {
  return {
    endpoints: declarations.filter((declaration) => declaration.kind === 'Endpoint'),
    policies: declarations.filter((declaration) => declaration.kind === 'Policy'),
  };
}

function pick<T extends { readonly name: string; readonly environment: string | null }>(
  what: string,
  all: readonly T[],
  { name, environment }: { readonly name: string; readonly environment: string | null | undefined },
): T {
  const found = all.filter(
    (item) => item.name === name && (environment == null || item.environment === null || item.environment === environment),
  );
  if (found.length === 0) throw new Problem('not-found', `Cannot render ${what} ${name}: there is none of that name`);
  if (found.length > 1)
    throw new UsageError(`--environment is missing: ${what} ${name} is in ${found.map(({ environment }) => environment).join(', ')}`);
  return found[0]!;
}

function findPolicy({ policies }: Known, name: string, environment: string | null | undefined): Policy {
  // What nobody declared is what the house has.
  if (name === 'default' && !policies.some((policy) => policy.name === name)) return defaultPolicy;
  return pick('policy', policies, { name, environment }).policy;
}

function refuseUnwritten({ name, protocol, external }: Endpoint): void {
  if (protocol !== 'http') throw new Problem('input-invalid', `Cannot render endpoint ${name}: its protocol is ${protocol}, expected http`);
  if (external != null)
    throw new Problem('input-invalid', `Cannot render endpoint ${name}: it is outside of the trust domain, expected one of ours`);
}

function readCallers(invocation: Invocation, isAnonymous: boolean): readonly string[] | null {
  const text = textOption(invocation, 'callers');
  if (text === undefined && !isAnonymous)
    throw new UsageError('--callers is missing: SPIFFE IDs, or any for every certificate of the authorities');
  return text === undefined || text === 'any' ? null : resolveCallers(text.split(','), invocation);
}

/** Services stand in declarations by their names; a certificate has the whole ID. */
function resolveCallers(callers: readonly string[], invocation: Invocation): readonly string[] {
  return callers.map((caller) => {
    if (caller.startsWith('spiffe://')) return caller;
    const [trustDomain, environment] = [textOption(invocation, 'trustDomain'), textOption(invocation, 'environment')];
    if (trustDomain === undefined || environment === undefined)
      throw new UsageError(`--trust-domain and --environment are missing: the caller ${caller} is a name`);
    return serviceSpiffeId(parseTrustDomain(trustDomain), environment, caller);
  });
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((caller) => b.includes(caller));
}
