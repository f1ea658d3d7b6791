import { Problem } from '../problems/problem.ts';
import type { Certificate } from './certificate.ts';
import { type CertificatePolicies, readCertificatePolicies } from './certificate-policies.ts';
import { sameName } from './name.ts';
import { oids } from './oid.ts';
import type { PathFault } from './path-fault.ts';
import {
  addPolicyLevel,
  dropPolicies,
  isEmptyGraph,
  mapPolicies,
  meetsPolicies,
  type PolicyGraph,
  startPolicyGraph,
} from './policy-graph.ts';

/** What the user says of policies (RFC 5280 section 6.1.1 (c), (e), (f), (g)). */
export type PolicyDemands = {
  /** Policies that suffice, in terms of the anchor's domain; `any` where every one does. */
  readonly initial: ReadonlySet<string> | 'any';
  /** The path must be valid for one of them. */
  readonly explicit: boolean;
  readonly inhibitMapping: boolean;
  readonly inhibitAny: boolean;
};

export const noPolicyDemands: PolicyDemands = { initial: 'any', explicit: false, inhibitMapping: false, inhibitAny: false };

/**
 * The policies of a path, leaf first and anchor last (RFC 5280 section 6.1 as RFC 9618 updates it). An anchor's policy constraints
 * count from the start (RFC 5937). Null: no fault.
 */
export function judgePolicies(path: readonly Certificate[], demands: PolicyDemands, budget: { left: number }): PathFault | null {
  let said: readonly CertificatePolicies[];
  try {
    said = path.map(readCertificatePolicies);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return invalid(`a policy extension is malformed: ${error.message}`);
  }
  if (!demands.explicit && said.every(isSilent)) return null;
  const count = path.length - 1;
  const state: State = {
    graph: startPolicyGraph(budget),
    explicit: demands.explicit ? 0 : count + 1,
    mapping: demands.inhibitMapping ? 0 : count + 1,
    any: demands.inhibitAny ? 0 : count + 1,
  };
  tighten(state, said[count]!);
  for (let index = count - 1; index >= 0; index--) {
    const selfIssued = sameName(path[index]!.issuer, path[index]!.subject);
    const fault = takeCertificate(state, said[index]!, { selfIssued, last: index === 0 });
    if (fault) return fault;
  }
  // RFC 5280 section 6.1.5 (a), (b).
  if (state.explicit > 0) state.explicit--;
  if (count > 0 && said[0]!.requireExplicit === 0) state.explicit = 0;
  if (state.explicit > 0 || meetsPolicies(state.graph, demands.initial)) return null;
  return invalid('no policy that is demanded holds for the whole path');
}

type State = { graph: PolicyGraph; explicit: number; mapping: number; any: number };

function takeCertificate(
  state: State,
  { policies, mappings, ...constraints }: CertificatePolicies,
  { selfIssued, last }: { readonly selfIssued: boolean; readonly last: boolean },
): PathFault | null {
  const { graph } = state;
  const takesAny = state.any > 0 || (!last && selfIssued);
  if (!addPolicyLevel(graph, policies ?? NONE, takesAny)) return limit();
  // 6.1.3 (f)
  if (state.explicit === 0 && isEmptyGraph(graph)) return invalid('an explicit policy is demanded, and none is valid');
  if (last) return null;
  if (mappings) {
    // 6.1.4 (a)
    if (mappings.has(oids.anyPolicy) || [...mappings.values()].some((subjects) => subjects.has(oids.anyPolicy)))
      return invalid('anyPolicy is mapped');
    if (state.mapping === 0) dropPolicies(graph, mappings.keys());
    else if (!mapPolicies(graph, mappings)) return limit();
  }
  if (!selfIssued) {
    state.explicit = Math.max(0, state.explicit - 1);
    state.mapping = Math.max(0, state.mapping - 1);
    state.any = Math.max(0, state.any - 1);
  }
  tighten(state, constraints);
  return null;
}

/** 6.1.4 (i), (j). */
function tighten(
  state: State,
  { requireExplicit, inhibitMapping, inhibitAny }: Pick<CertificatePolicies, 'requireExplicit' | 'inhibitMapping' | 'inhibitAny'>,
): void {
  state.explicit = Math.min(state.explicit, requireExplicit ?? state.explicit);
  state.mapping = Math.min(state.mapping, inhibitMapping ?? state.mapping);
  state.any = Math.min(state.any, inhibitAny ?? state.any);
}

/** Without constraints nothing can come to demand a policy; mappings are looked at all the same. */
function isSilent({ mappings, requireExplicit }: CertificatePolicies): boolean {
  return mappings === null && requireExplicit === null;
}

function invalid(detail: string): PathFault {
  return { reason: 'chain-invalid', detail };
}

function limit(): PathFault {
  return { reason: 'limit-exceeded', detail: 'more policies than the limit' };
}

const NONE: ReadonlySet<string> = new Set();
