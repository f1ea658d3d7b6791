import type { EntityId } from '../ids/entity-id.ts';
import type { Mode } from '../policy/mode.ts';
import type { Instant } from '../time/instant.ts';
import { isEnforced, type PathState } from './path-state.ts';
import type { RolloutConfig } from './rollout-config.ts';
import type { EndpointFacts, PathFacts, RolloutFacts, RolloutState } from './rollout-facts.ts';

export type PathView = {
  readonly state: PathState;
  readonly facts: PathFacts;
  /** A person said that this caller may be refused at this endpoint: it joins no wave, and is enforced along with the endpoint. */
  readonly unwanted: boolean;
};

/** An endpoint with its paths, each as decided and as measured. */
export type EndpointView = { readonly endpoint: EndpointFacts; readonly paths: readonly PathView[] };

/** State and facts joined: only what both know. */
export type RolloutView = {
  readonly config: RolloutConfig;
  readonly target: Mode;
  readonly facts: RolloutFacts;
  /** Mutual paths only. */
  readonly paths: readonly PathView[];
  readonly endpoints: readonly EndpointView[];
};

/** An exception whose end date has passed covers nothing any more. */
export function viewRollout(now: Instant, state: RolloutState, facts: RolloutFacts): RolloutView {
  const states = new Map(state.paths.map((path) => [path.pathId, path]));
  const known = new Map<EntityId<'endpoint'>, EndpointFacts>(
    facts.endpoints.map((endpoint) => [endpoint.endpointId, endExceptions(now, endpoint)]),
  );
  const paths = facts.paths.flatMap((path): PathView[] => {
    const found = states.get(path.pathId);
    return found === undefined || path.protection !== 'mutual' || !known.has(path.endpointId)
      ? []
      : [{ state: found, facts: endException(now, path), unwanted: isUnwanted(state.config, path.endpointId, path.caller) }];
  });
  const byEndpoint = Map.groupBy(paths, ({ facts: path }) => path.endpointId);
  const endpoints = [...byEndpoint].map(([endpointId, ofEndpoint]) => ({ endpoint: known.get(endpointId)!, paths: ofEndpoint }));
  return { config: state.config, target: state.target, facts, paths, endpoints };
}

/** False for a path that an exception covers: it stays as it is, and holds its endpoint. */
export function isStaged({ facts }: PathView): boolean {
  return facts.exception === null;
}

/** True if a person said that this identity may be refused at this endpoint. */
export function isUnwanted(config: RolloutConfig, endpointId: EntityId<'endpoint'>, caller: string): boolean {
  return config.unwanted.some((item) => item.endpointId === endpointId && item.caller === caller);
}

/** The paths of the same fleet that did not move: other rollouts' too, but none that enforcement is just changing. */
export function controlGroup(view: RolloutView, moved: ReadonlySet<EntityId<'path'>>): readonly EntityId<'path'>[] {
  const enforcing = new Set(view.paths.filter(({ state }) => state.stage === 'enforce').map(({ state }) => state.pathId));
  return view.facts.paths.filter(({ pathId }) => !moved.has(pathId) && !enforcing.has(pathId)).map(({ pathId }) => pathId);
}

/** True if a path of the endpoint was proven once: then no automatic step may loosen any path of it. */
export function isLatched({ paths }: EndpointView): boolean {
  return paths.some(({ state }) => state.latchedAt !== null);
}

/** The paths of the wave that switched and is not judged yet. */
export function originatingPaths(paths: readonly PathState[]): readonly PathState[] {
  return paths.filter(({ stage, settledAt, weakening }) => stage === 'originate' && settledAt === null && weakening === null);
}

/** The paths that are enforced and not proven yet. */
export function enforcingPaths(paths: readonly PathState[]): readonly PathState[] {
  return paths.filter(({ stage, weakening }) => stage === 'enforce' && weakening === null);
}

/** Since when each lane's wave must be watched, so that facts are read for the right windows. */
export function flightStarts(state: RolloutState): { readonly originating: Instant | null; readonly enforcing: Instant | null } {
  return { originating: earliest(originatingPaths(state.paths)), enforcing: earliest(enforcingPaths(state.paths)) };
}

/** True if the receiver refuses on every path of the endpoint. */
export function isFullyEnforced({ paths }: EndpointView): boolean {
  return paths.length > 0 && paths.every(({ state }) => isEnforced(state.stage));
}

function earliest(paths: readonly PathState[]): Instant | null {
  return paths.length === 0 ? null : Math.min(...paths.map(({ since }) => since));
}

function endExceptions(now: Instant, endpoint: EndpointFacts): EndpointFacts {
  const isOver = endpoint.exceptions.some(({ until }) => until <= now);
  return isOver ? { ...endpoint, exceptions: endpoint.exceptions.filter(({ until }) => until > now) } : endpoint;
}

function endException(now: Instant, path: PathFacts): PathFacts {
  return path.exception !== null && path.exception.until <= now ? { ...path, exception: null } : path;
}
