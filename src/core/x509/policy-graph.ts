import { oids } from './oid.ts';

/**
 * The valid_policy_graph of RFC 9618 section 3: one level a certificate, one node a policy of a level, each with all its parents.
 * Unlike the tree of RFC 5280 it grows only linearly with what the certificates say.
 */
export type PolicyGraph = {
  /** Level 0 is the anchor's; the last one belongs to the certificate processed last. */
  readonly levels: Map<string, PolicyNode>[];
  /** Nodes and edges that may still be made. */
  readonly budget: { left: number };
};

type PolicyNode = { readonly policy: string; expected: ReadonlySet<string>; readonly parents: readonly PolicyNode[]; children: number };

/** The graph before the first certificate: any policy is valid (RFC 9618 section 5.2, 6.1.2 (a)). */
export function startPolicyGraph(budget: { left: number }): PolicyGraph {
  return { levels: [new Map([[ANY, newNode(ANY, [])]])], budget };
}

/**
 * RFC 9618 section 5.3, 6.1.3 (d): the level of one certificate. `takesAny`: its anyPolicy counts. Null: no policy is left.
 * @returns false once the budget is used up
 */
export function addPolicyLevel(graph: PolicyGraph, policies: ReadonlySet<string>, takesAny: boolean): boolean {
  const above = graph.levels.at(-1)!;
  const expecting = new Map<string, PolicyNode[]>();
  for (const node of above.values()) {
    for (const policy of node.expected) {
      const nodes = expecting.get(policy);
      if (nodes) nodes.push(node);
      else expecting.set(policy, [node]);
    }
  }
  const level = new Map<string, PolicyNode>();
  const add = (policy: string, parents: readonly PolicyNode[]): void => {
    graph.budget.left -= 1 + parents.length;
    if (graph.budget.left >= 0) level.set(policy, newNode(policy, parents));
  };
  const any = above.get(ANY);
  for (const policy of policies) {
    if (policy === ANY) continue;
    const parents = expecting.get(policy) ?? (any ? [any] : null);
    if (parents) add(policy, parents);
  }
  if (takesAny && policies.has(ANY)) {
    for (const [policy, parents] of expecting) if (!level.has(policy)) add(policy, parents);
  }
  graph.levels.push(level);
  prune(graph);
  return graph.budget.left >= 0;
}

/** RFC 9618 section 5.4, 6.1.4 (b)(1): what the certificate's subject calls the policies. @returns false once the budget is used up */
export function mapPolicies(graph: PolicyGraph, mappings: ReadonlyMap<string, ReadonlySet<string>>): boolean {
  const level = graph.levels.at(-1)!;
  for (const [policy, subjects] of mappings) {
    graph.budget.left -= 1 + subjects.size;
    if (graph.budget.left < 0) return false;
    const node = level.get(policy);
    const parents = level.get(ANY)?.parents;
    if (node) node.expected = subjects;
    else if (parents) level.set(policy, { ...newNode(policy, parents), expected: subjects });
  }
  return true;
}

/** RFC 9618 section 5.4, 6.1.4 (b)(2): mapped policies where mapping is inhibited. */
export function dropPolicies(graph: PolicyGraph, policies: Iterable<string>): void {
  const level = graph.levels.at(-1)!;
  for (const policy of policies) {
    const node = level.get(policy);
    if (!node) continue;
    for (const parent of node.parents) parent.children--;
    level.delete(policy);
  }
  prune(graph);
}

/** True if no policy is valid any more. */
export function isEmptyGraph(graph: PolicyGraph): boolean {
  return graph.levels.at(-1)!.size === 0;
}

/**
 * True if the user-constrained-policy-set (RFC 9618 section 5.5, 6.1.5 (g)) has a policy: one of the user's own, counted where it
 * leaves the anchor's domain, or any policy all the way down.
 */
export function meetsPolicies({ levels }: PolicyGraph, initial: ReadonlySet<string> | 'any'): boolean {
  if (levels.at(-1)!.size === 0) return false;
  if (initial === 'any' || initial.has(ANY) || levels.at(-1)!.has(ANY)) return true;
  return levels.some((level) =>
    [...level.values()].some(({ policy, parents }) => initial.has(policy) && parents.some((parent) => parent.policy === ANY)),
  );
}

/** Nodes above the last level that lead nowhere go, and so do those above them. */
function prune({ levels }: PolicyGraph): void {
  for (let depth = levels.length - 2; depth >= 0; depth--) {
    const level = levels[depth]!;
    for (const node of level.values()) {
      if (node.children > 0) continue;
      level.delete(node.policy);
      for (const parent of node.parents) parent.children--;
    }
  }
}

function newNode(policy: string, parents: readonly PolicyNode[]): PolicyNode {
  for (const parent of parents) parent.children++;
  return { policy, expected: new Set([policy]), parents, children: 0 };
}

const ANY = oids.anyPolicy;
