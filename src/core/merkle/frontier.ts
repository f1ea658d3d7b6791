import { emptyRoot, type Hash, hashChildren } from './hash.ts';

/** What appending needs to know of a tree: its size and the roots of its complete subtrees, largest first. */
export type Frontier = { readonly size: number; readonly subtrees: readonly Hash[] };

export const emptyFrontier: Frontier = { size: 0, subtrees: [] };

/** The frontier after one more leaf: O(log n) at most, O(1) on average. */
export function appendLeaf(frontier: Frontier, leaf: Hash): Frontier {
  const subtrees = [...frontier.subtrees];
  let hash = leaf;
  // Each low set bit of the size is a complete subtree of that height, waiting for its sibling.
  for (let size = frontier.size; size % 2 === 1; size = Math.floor(size / 2)) hash = hashChildren(subtrees.pop()!, hash);
  subtrees.push(hash);
  return { size: frontier.size + 1, subtrees };
}

/** The root over all leaves (RFC 6962 section 2.1). */
export function rootOf({ subtrees }: Frontier): Hash {
  return subtrees.length === 0 ? emptyRoot : subtrees.reduceRight((right, left) => hashChildren(left, right));
}
