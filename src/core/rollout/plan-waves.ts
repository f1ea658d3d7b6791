import type { EntityId } from '../ids/entity-id.ts';
import type { EndpointFacts, PathFacts } from './rollout-facts.ts';

/**
 * Orders new paths into waves by blast radius: one canary path first, then standard endpoints, then critical ones, those with
 * few callers before those with many. A wave does not hold two adjacent layers (a path into a service and a path out of it)
 * and at most `maxPaths` paths. Deterministic; `firstWave` is 0 for a new rollout, which alone has a canary.
 */
export function planWaves(
  paths: readonly PathFacts[],
  endpoints: ReadonlyMap<EntityId<'endpoint'>, EndpointFacts>,
  { firstWave, maxPaths }: { readonly firstWave: number; readonly maxPaths: number },
): ReadonlyMap<EntityId<'path'>, number> {
  const ordered = orderByRadius(paths, endpoints);
  const waves: Wave[] = [];
  let lowest = 0;
  let tier: string | null = null;
  for (const [at, path] of ordered.entries()) {
    const endpoint = endpoints.get(path.endpointId);
    if (endpoint === undefined) continue;
    const isCanary = firstWave === 0 && at === 0;
    // A tier never joins a wave of the tier before it, and nothing joins the canary.
    if (!isCanary && (tier !== endpoint.tier || (firstWave === 0 && at === 1))) {
      lowest = waves.length;
      tier = endpoint.tier;
    }
    const found = waves.findIndex((wave, index) => index >= lowest && wave.paths.length < maxPaths && !isAdjacent(wave, path, endpoint));
    const wave = found >= 0 ? waves[found]! : { paths: [], callers: new Set<string>(), callees: new Set<string>() };
    if (found < 0) waves.push(wave);
    wave.paths.push(path.pathId);
    wave.callers.add(path.callerServiceId);
    wave.callees.add(endpoint.serviceId);
  }
  return new Map(waves.flatMap((wave, index) => wave.paths.map((pathId) => [pathId, firstWave + index] as const)));
}

type Wave = { readonly paths: EntityId<'path'>[]; readonly callers: Set<string>; readonly callees: Set<string> };

function isAdjacent(wave: Wave, path: PathFacts, endpoint: EndpointFacts): boolean {
  return wave.callers.has(endpoint.serviceId) || wave.callees.has(path.callerServiceId);
}

function orderByRadius(paths: readonly PathFacts[], endpoints: ReadonlyMap<EntityId<'endpoint'>, EndpointFacts>): readonly PathFacts[] {
  const callers = new Map<string, number>();
  for (const { endpointId } of paths) callers.set(endpointId, (callers.get(endpointId) ?? 0) + 1);
  const rank = (path: PathFacts): readonly [number, number, string, string] => [
    endpoints.get(path.endpointId)?.tier === 'critical' ? 1 : 0,
    callers.get(path.endpointId)!,
    path.endpointId,
    path.pathId,
  ];
  return paths
    .map((path) => ({ path, rank: rank(path) }))
    .toSorted((a, b) => compareRanks(a.rank, b.rank))
    .map(({ path }) => path);
}

function compareRanks(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [at, left] of a.entries()) {
    const right = b[at]!;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}
