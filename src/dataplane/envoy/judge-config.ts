import type { EnvoyResources } from '../../core/envoy/compile-envoy.ts';
import type { EnvoyResource } from '../../core/envoy/envoy-resource.ts';
import type { ActiveResource, ResourceKind } from './active-config.ts';

export type ActiveConfig = { readonly [kind in ResourceKind]: ReadonlyMap<string, ActiveResource> };

/** Of what the expected resources are made; all three stand before the digest in a version on the wire. */
export type Numbers = { readonly generation: bigint; readonly bundle: bigint; readonly revoked: bigint };

/** Whether Envoy runs what it is to run. `overtaken`: what differs is of a later state than was asked about. */
export type ConfigVerdict =
  | { readonly kind: 'true' }
  | { readonly kind: 'overtaken' }
  | { readonly kind: 'waiting'; readonly detail: string }
  | { readonly kind: 'refused'; readonly detail: string };

/**
 * Holds what Envoy says that it runs against what it should. Its acknowledgements are no proof: a refused response may have been taken in
 * part, and a port that waits for a secret is closed. `known` are errors of before, by resource: they say nothing about what is asked now.
 */
export function judgeConfig(
  expected: EnvoyResources,
  active: ActiveConfig,
  { numbers, known }: { readonly numbers: Numbers; readonly known: ReadonlySet<string> },
): ConfigVerdict {
  const different = kinds.flatMap((kind) => differencesOf(kind, expected[kind], active[kind]));
  const stale = [...active.listeners].filter(([name, { version }]) => version !== null && isLeftOver(name, expected.listeners));
  if (different.length === 0 && stale.length === 0) return { kind: 'true' };
  const refused = different.find(({ kind, name, error }) => error !== null && !known.has(errorKey(kind, name, error)));
  if (refused !== undefined) return { kind: 'refused', detail: `${refused.name}: ${refused.error!.details}` };
  // What is not there at all may have gone again with later settings.
  const isAhead = kinds.some((kind) => [...active[kind].values()].some(({ version }) => isOfLaterSettings(version, numbers)));
  const current = different.filter(({ version }) => (version === null ? !isAhead : !isLater(version, numbers)));
  const [first] = current;
  if (first !== undefined) {
    const before = first.error === null ? '' : ` (it refused one before: ${first.error.details})`;
    return { kind: 'waiting', detail: `it has not taken ${first.kind} ${first.name}${before}` };
  }
  // What is to go goes last; who has later things does not lose what only we know of.
  return different.length > 0 ? { kind: 'overtaken' } : { kind: 'waiting', detail: `it still has the port ${stale[0]![0]}` };
}

/** Every error that Envoy shows now. */
export function errorsOf(active: ActiveConfig): ReadonlySet<string> {
  const found = kinds.flatMap((kind) =>
    [...active[kind]].flatMap(([name, { error }]) => (error === null ? [] : [errorKey(kind, name, error)])),
  );
  return new Set(found);
}

type Difference = ActiveResource & { readonly kind: ResourceKind; readonly name: string };

function differencesOf(
  kind: ResourceKind,
  expected: readonly EnvoyResource[],
  active: ReadonlyMap<string, ActiveResource>,
): readonly Difference[] {
  return expected.flatMap(({ name, digest }) => {
    const found = active.get(name);
    if (found !== undefined && digestOf(found.version) === digest) return [];
    return [{ kind, name, version: found?.version ?? null, error: found?.error ?? null }];
  });
}

function isLeftOver(name: string, expected: readonly EnvoyResource[]): boolean {
  return name.startsWith('cs|') && !expected.some((listener) => listener.name === name);
}

/** `GENERATION.BUNDLE.REVOKED.DIGEST`. */
function digestOf(version: string | null): string | null {
  return version === null ? null : version.slice(version.lastIndexOf('.') + 1);
}

function isLater(version: string, { generation, bundle, revoked }: Numbers): boolean {
  const numbers = version.split('.').slice(0, -1);
  if (numbers.length !== 3 || !numbers.every((text) => /^\d{1,20}$/.test(text))) return false;
  const [g, b, r] = numbers.map(BigInt) as [bigint, bigint, bigint];
  return g > generation || b > bundle || r > revoked;
}

function isOfLaterSettings(version: string | null, { generation }: Numbers): boolean {
  const [first = ''] = version?.split('.') ?? [];
  return /^\d{1,20}$/.test(first) && BigInt(first) > generation;
}

function errorKey(kind: ResourceKind, name: string, { details, at }: NonNullable<ActiveResource['error']>): string {
  return `${kind} ${name} ${at} ${details}`;
}

export const kinds = ['clusters', 'endpoints', 'secrets', 'listeners', 'routes'] as const satisfies readonly ResourceKind[];
