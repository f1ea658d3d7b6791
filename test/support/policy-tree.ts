/** What one certificate of a chain says; names of policies are single letters, `*` is anyPolicy. */
export type PolicySays = {
  readonly policies?: string;
  /** Pairs such as `AB`: A of the issuer is B of the subject. */
  readonly maps?: readonly string[];
  readonly explicit?: number;
  readonly noMapping?: number;
  readonly noAny?: number;
  readonly selfIssued?: boolean;
};

type TreeNode = {
  readonly policy: string;
  expected: readonly string[];
  readonly children: TreeNode[];
  readonly depth: number;
  readonly parent: TreeNode | null;
};

/** The policy tree as RFC 5280 section 6.1 writes it, exponential as it is; the oracle of the property above. */
export function treeVerdict(
  chain: readonly PolicySays[],
  demand: { explicit: boolean; inhibitMapping: boolean; inhibitAny: boolean; user: string | undefined },
): string {
  const n = chain.length;
  let [explicitLeft, mapping, any] = [demand.explicit ? 0 : n + 1, demand.inhibitMapping ? 0 : n + 1, demand.inhibitAny ? 0 : n + 1];
  const root: TreeNode = { policy: '*', expected: ['*'], children: [], depth: 0, parent: null };
  let tree: TreeNode | null = root;
  const at = (depth: number, node: TreeNode | null = tree): TreeNode[] =>
    node === null ? [] : node.depth === depth ? [node] : node.children.flatMap((child) => at(depth, child));
  const grow = (parent: TreeNode, policy: string, expected = [policy]): number =>
    parent.children.push({ policy, expected, children: [], depth: parent.depth + 1, parent });
  const trim = (below: number): void => {
    for (let depth = below; depth >= 0; depth--)
      for (const node of at(depth)) {
        if (node.children.length > 0) continue;
        if (node.parent === null) tree = null;
        else node.parent.children.splice(node.parent.children.indexOf(node), 1);
      }
  };
  for (const [index, says] of chain.entries()) {
    const i = index + 1;
    const selfIssued = says.selfIssued === true;
    if (says.policies === undefined) tree = null;
    else if (tree) {
      const own = [...says.policies];
      for (const policy of own.filter((p) => p !== '*')) {
        const parents = at(i - 1).filter((node) => node.expected.includes(policy));
        for (const parent of parents) grow(parent, policy);
        if (parents.length === 0) for (const node of at(i - 1).filter((candidate) => candidate.policy === '*')) grow(node, policy);
      }
      if (own.includes('*') && (any > 0 || (i < n && selfIssued)))
        for (const node of at(i - 1))
          for (const policy of node.expected) if (!node.children.some((child) => child.policy === policy)) grow(node, policy);
      trim(i - 1);
    }
    if (explicitLeft === 0 && tree === null) return 'invalid';
    if (i === n) break;
    if (says.maps) {
      for (const policy of new Set(says.maps.map((pair) => pair[0]!))) {
        const mapped = says.maps.filter((pair) => pair[0] === policy).map((pair) => pair[1]!);
        const nodes = at(i).filter((node) => node.policy === policy);
        if (mapping > 0) {
          for (const node of nodes) node.expected = mapped;
          if (nodes.length === 0)
            for (const node of at(i).filter((candidate) => candidate.policy === '*')) grow(node.parent!, policy, mapped);
        } else {
          for (const node of nodes) node.parent!.children.splice(node.parent!.children.indexOf(node), 1);
          trim(i - 1);
        }
      }
    }
    if (!selfIssued) [explicitLeft, mapping, any] = [Math.max(0, explicitLeft - 1), Math.max(0, mapping - 1), Math.max(0, any - 1)];
    explicitLeft = Math.min(explicitLeft, says.explicit ?? explicitLeft);
    mapping = Math.min(mapping, says.noMapping ?? mapping);
    any = Math.min(any, says.noAny ?? any);
  }
  if (explicitLeft > 0) explicitLeft--;
  if (chain.at(-1)!.explicit === 0) explicitLeft = 0;
  if (explicitLeft > 0) return 'valid';
  if (tree === null) return 'invalid';
  if (demand.user === undefined) return 'valid';
  const below = (node: TreeNode): boolean =>
    node.children.some((child) => (child.policy === '*' ? child.depth === n || below(child) : demand.user!.includes(child.policy)));
  return below(root) ? 'valid' : 'invalid';
}
