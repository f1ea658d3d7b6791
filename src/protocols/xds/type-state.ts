import type { DeltaDiscoveryRequest } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { contentOf, type EncodedResource } from './encoded-resource.ts';

/** What one stream wants of one type, and what it has. Changed by the functions below only. */
export type TypeState = {
  wildcard: boolean;
  readonly named: Set<string>;
  /** Version by name that the client has or is being sent; null if it was told that there is none. */
  readonly known: Map<string, string | null>;
  /** Names that were just asked for: answered whatever the client is believed to have. */
  readonly owed: Set<string>;
  /** A first subscription to everything is answered even if there is nothing. */
  answerOwed: boolean;
  /** What the client claimed to have when the stream began, until it was compared. */
  claimed: ReadonlyMap<string, string>;
  /** The content by name that the client refused: not sent again. */
  readonly refused: Map<string, string>;
  /** What was in a response of several that the client refused: each is sent by itself, to find which it was. */
  readonly suspects: Set<string>;
  outstanding: Push | null;
  /** Rises with each change of what is wanted. */
  revision: number;
};

/** One response that waits for its acknowledgement. */
export type Push = {
  readonly nonce: string;
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
  /** What the client had before, to be restored if it refuses. */
  readonly before: ReadonlyMap<string, string | null | undefined>;
};

export type PushPlan = {
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
  /** There is something to say, if only that there is nothing. */
  readonly due: boolean;
  /** Resources that do not fit into this response are left, and something else may have to wait for them. */
  readonly more: boolean;
  /** There is something to send for which something else may have to wait. */
  readonly urgent: boolean;
  /** Removals, or what differs in a mark alone, are held back. */
  readonly holds: boolean;
  /** Something is not sent yet: what it needs is on its way. */
  readonly waits: boolean;
  /** Something is not sent in its present form: it was refused, or is withheld. */
  readonly behind: boolean;
};

export type PushLimits = {
  readonly maximumPerResponse: number;
  /** What the client has stays for now, though it is gone here: something else may still refer to it. */
  readonly holdsRemovals?: boolean;
  /** What differs in a mark alone is not sent yet. */
  readonly holdsLate?: boolean;
  /** Clusters that were sent and are not ready yet. */
  readonly unready?: ReadonlySet<string>;
};

/** The state after the first request of a type. A first request that names nothing asks for everything (xDS, "wildcard subscriptions"). */
export function firstState(request: DeltaDiscoveryRequest): TypeState {
  const versions = Object.entries(request.initialResourceVersions);
  const claimed = versions.length === 0 ? NOTHING_CLAIMED : new Map(versions);
  const wildcard = request.resourceNamesSubscribe.length === 0;
  const state: TypeState = {
    wildcard,
    named: new Set(),
    known: new Map(claimed),
    owed: new Set(),
    // Who came back with something waits for no answer.
    answerOwed: wildcard && versions.length === 0,
    claimed,
    refused: new Map(),
    suspects: new Set(),
    outstanding: null,
    revision: 0,
  };
  applySubscriptions(state, request);
  // What a reconnecting client says that it has is compared, not sent again.
  for (const name of claimed.keys()) state.owed.delete(name);
  return state;
}

/** Applies subscribe and unsubscribe, which count whatever the nonce is. @throws input-invalid past the limits */
export function applySubscriptions(state: TypeState, request: DeltaDiscoveryRequest): void {
  if (request.resourceNamesSubscribe.length + request.resourceNamesUnsubscribe.length > 0) state.revision += 1;
  for (const name of request.resourceNamesSubscribe) {
    if (name.length > MAXIMUM_NAME)
      throw new Problem('input-invalid', `Cannot subscribe: a name of ${name.length} characters, expected at most ${MAXIMUM_NAME}`);
    if (name === '*') {
      state.answerOwed ||= !state.wildcard;
      state.wildcard = true;
    } else {
      state.named.add(name);
      state.owed.add(name);
    }
  }
  for (const name of request.resourceNamesUnsubscribe) {
    if (name === '*') {
      state.wildcard = false;
      for (const known of state.known.keys()) if (!state.named.has(known)) state.known.delete(known);
    } else {
      state.named.delete(name);
      state.known.delete(name);
      state.refused.delete(name);
      state.suspects.delete(name);
      state.owed.delete(name);
      // Who wants everything is told again what became of a name that it gave up by itself.
      if (state.wildcard) state.owed.add(name);
    }
  }
  if (state.named.size > MAXIMUM_NAMES || state.known.size > MAXIMUM_NAMES) {
    throw new Problem(
      'input-invalid',
      `Cannot subscribe: ${Math.max(state.named.size, state.known.size)} names, expected at most ${MAXIMUM_NAMES}`,
    );
  }
}

/** What is to be sent now, given the resources as they are. Content that the client refused is never sent again. */
export function planPush(state: TypeState, current: readonly EncodedResource[], limits: PushLimits): PushPlan {
  const existing = new Set<string>();
  const wanted: EncodedResource[] = [];
  let behind = false;
  let waits = false;
  for (const resource of current) {
    const known = state.known.get(resource.name);
    // What is withheld from who has none of it is not there for him: a handshake that waits for it would hang.
    if (resource.withheld === true && typeof known !== 'string') continue;
    existing.add(resource.name);
    if (resource.withheld === true || state.refused.get(resource.name) === contentOf(resource.version)) {
      behind = true;
      continue;
    }
    const isHad = typeof known === 'string' && contentOf(known) === contentOf(resource.version);
    if (isHad && !state.owed.has(resource.name)) continue;
    if (resource.needs?.some((cluster) => limits.unready?.has(cluster)) === true) waits = true;
    else wanted.push(resource);
  }
  const isLate = ({ name, sameBut }: EncodedResource): boolean => {
    const known = state.known.get(name);
    return typeof known === 'string' && sameBut?.has(contentOf(known)) === true;
  };
  const late = wanted.filter(isLate);
  const urgent = late.length === 0 ? wanted : wanted.filter((resource) => !isLate(resource));
  const resources = takeFirst(limits.holdsLate === true ? urgent : [...urgent, ...late], state, limits.maximumPerResponse);
  const sent = new Set(resources);
  const absent = absentNames(state, existing);
  const removed = limits.holdsRemovals === true ? absent.filter((name) => !isHeldBack(state, name)) : absent;
  return {
    resources,
    removed,
    due: resources.length > 0 || removed.length > 0 || state.answerOwed,
    more: waits || urgent.some((resource) => !sent.has(resource)),
    waits,
    urgent: urgent.length > 0,
    holds: removed.length < absent.length || (limits.holdsLate === true && late.length > 0),
    behind,
  };
}

/** As many as fit into one response; after them each suspect by itself. */
function takeFirst(wanted: readonly EncodedResource[], { suspects }: TypeState, maximumPerResponse: number): readonly EncodedResource[] {
  const clear = suspects.size === 0 ? wanted : wanted.filter(({ name }) => !suspects.has(name));
  if (clear.length === 0) return wanted.slice(0, 1);
  const taken: EncodedResource[] = [];
  let octets = 0;
  for (const resource of clear) {
    if (taken.length > 0 && (taken.length >= maximumPerResponse || octets + resource.body.length > MAXIMUM_RESPONSE)) continue;
    taken.push(resource);
    octets += resource.body.length;
  }
  return taken;
}

function absentNames(state: TypeState, existing: ReadonlySet<string>): readonly string[] {
  const absent = new Set(
    [...state.named].filter((name) => !existing.has(name) && (state.known.get(name) !== null || state.owed.has(name))),
  );
  for (const [name, version] of state.known) if (version !== null && !existing.has(name)) absent.add(name);
  for (const name of state.owed) if (!existing.has(name)) absent.add(name);
  return [...absent];
}

function isHeldBack({ known, owed }: TypeState, name: string): boolean {
  return typeof known.get(name) === 'string' && !owed.has(name);
}

/** Notes that the plan was sent under this nonce. */
export function beginPush(state: TypeState, { resources, removed }: Pick<PushPlan, 'resources' | 'removed'>, nonce: string): void {
  const before = new Map<string, string | null | undefined>();
  for (const { name, version } of resources) {
    before.set(name, state.known.get(name));
    state.known.set(name, version);
    state.owed.delete(name);
  }
  for (const name of removed) {
    state.owed.delete(name);
    state.refused.delete(name);
    if (state.named.has(name)) state.known.set(name, null);
    else state.known.delete(name);
  }
  state.answerOwed = false;
  state.outstanding = { nonce, resources, removed, before };
}

/**
 * Ends the outstanding push if the nonce is its own; a stale nonce acknowledges nothing. A refusal does not say whether it is of all: of several
 * resources none counts as refused yet.
 */
export function endPush(state: TypeState, nonce: string, refusal: string | null): Push | null {
  const push = state.outstanding;
  if (push === null || nonce === '' || push.nonce !== nonce) return null;
  state.outstanding = null;
  const suspects = refusal === null ? NOBODY : suspectsOf(push, refusal);
  for (const { name, version } of push.resources) {
    state.suspects.delete(name);
    if (refusal === null) {
      state.refused.delete(name);
      continue;
    }
    // Unsubscribed meanwhile: nothing to restore.
    if (!state.known.has(name)) continue;
    if (push.resources.length === 1) state.refused.set(name, contentOf(version));
    else if (suspects.has(name)) state.suspects.add(name);
    const before = push.before.get(name);
    if (before === undefined) state.known.delete(name);
    else state.known.set(name, before);
  }
  return push;
}

/** Who of several was refused is not said; where the refusal names some of them, it was one of these. */
function suspectsOf({ resources }: Push, refusal: string): ReadonlySet<string> {
  const named = resources.filter(({ name }) => refusal.includes(name));
  return new Set((named.length > 0 ? named : resources).map(({ name }) => name));
}

const NOBODY: ReadonlySet<string> = new Set();
/** Shared: thousands of streams begin with nothing, and all end there. */
export const NOTHING_CLAIMED: ReadonlyMap<string, string> = new Map();
/** Names per type and stream; a native proxy asks for one, an Envoy for some hundreds. */
const MAXIMUM_NAMES = 5_000;
const MAXIMUM_NAME = 1_024;
/** Leaves room below the 16 MiB that a data plane takes. */
const MAXIMUM_RESPONSE = 8 * 1024 * 1024;
