import { mutateOctets } from './mutate-octets.ts';
import type { Random } from './random.ts';

/**
 * Changes of the tree of a DER value: an element dropped, doubled, replaced by one from elsewhere, given another tag or an other contents, wrapped deeper;
 * the lengths above it are made right again, so that the change reaches the check behind them. A fifth of the changes knows no form.
 */
export function mutateDer(random: Random, input: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const tree = readForest(Buffer.from(input), 0);
  if (tree === null || tree.length === 0 || random.below(5) === 0) return mutateOctets(random, input, corpus);
  const nodes = flatten(tree);
  const { siblings, at } = random.pick(nodes);
  const node = siblings[at]!;
  switch (random.below(8)) {
    case 0:
      siblings.splice(at, 1);
      break;
    case 1:
      siblings.splice(at, 0, node);
      break;
    case 2:
      siblings[at] = donorOf(random, nodes, corpus);
      break;
    case 3:
      siblings.splice(at, 0, donorOf(random, nodes, corpus));
      break;
    case 4:
      siblings[at] = { ...node, tag: random.pick(TAGS) };
      break;
    case 5:
      siblings[at] = 'children' in node ? { tag: node.tag, children: node.children.toReversed() } : changed(random, node, corpus);
      break;
    case 6:
      siblings[at] = wrapped(node, 1 + random.below(40));
      break;
    default:
      siblings[at] = { tag: node.tag, octets: Buffer.alloc(random.pick(SIZES), random.below(256)) };
  }
  return Buffer.concat(tree.map(encode));
}

type Node = { readonly tag: number; readonly children: Node[] } | { readonly tag: number; readonly octets: Buffer };
type Place = { readonly siblings: Node[]; readonly at: number };

/** Null: no sequence of whole elements with short tags and definite lengths. */
function readForest(octets: Buffer, depth: number): Node[] | null {
  const nodes: Node[] = [];
  for (let at = 0; at < octets.length;) {
    const head = readHead(octets, at);
    if (head === null || depth > MAXIMUM_DEPTH) return null;
    const content = octets.subarray(head.start, head.end);
    const children = (head.tag & 0x20) === 0 ? null : readForest(content, depth + 1);
    nodes.push(children === null ? { tag: head.tag, octets: content } : { tag: head.tag, children });
    at = head.end;
  }
  return nodes;
}

function readHead(octets: Buffer, at: number): { readonly tag: number; readonly start: number; readonly end: number } | null {
  const [tag, first] = [octets[at], octets[at + 1]];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return null;
  const size = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || size > 4 || at + 2 + size > octets.length) return null;
  const length = size === 0 ? first : octets.readUIntBE(at + 2, size);
  const start = at + 2 + size;
  return start + length > octets.length ? null : { tag, start, end: start + length };
}

function flatten(nodes: Node[]): Place[] {
  return nodes.flatMap((node, at) => [{ siblings: nodes, at }, ...('children' in node ? flatten(node.children) : [])]);
}

function encode(node: Node): Buffer {
  const content = 'children' in node ? Buffer.concat(node.children.map(encode)) : node.octets;
  const length: number[] = [];
  for (let rest = content.length; content.length >= 0x80 && rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return Buffer.concat([Buffer.from([node.tag, ...(length.length === 0 ? [content.length] : [0x80 | length.length, ...length])]), content]);
}

function donorOf(random: Random, own: readonly Place[], corpus: readonly Uint8Array[]): Node {
  const other = random.below(2) === 0 ? null : readForest(Buffer.from(random.pick(corpus)), 0);
  const { siblings, at } = random.pick(other === null || other.length === 0 ? own : flatten(other));
  return copied(siblings[at]!);
}

/** An element within itself would have no end. */
function copied(node: Node): Node {
  return 'children' in node ? { tag: node.tag, children: node.children.map(copied) } : node;
}

function changed(random: Random, node: { readonly tag: number; readonly octets: Buffer }, corpus: readonly Uint8Array[]): Node {
  return { tag: node.tag, octets: Buffer.from(mutateOctets(random, node.octets, corpus)) };
}

function wrapped(node: Node, depth: number): Node {
  return depth === 0 ? node : wrapped({ tag: 0x30, children: [node] }, depth - 1);
}

const TAGS = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x1e, 0x24, 0x30, 0x31, 0x80, 0x82, 0x87, 0xa0, 0xa1, 0xa3,
];
const SIZES = [0, 1, 2, 20, 21, 22, 127, 128, 129, 255, 256, 65_535, 65_536];
const MAXIMUM_DEPTH = 30;
