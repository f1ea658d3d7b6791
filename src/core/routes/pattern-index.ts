import { methods } from '../http1/request-head.ts';
import { type CallPattern, segmentsOf } from './call-pattern.ts';
import { normalPathOf } from './normal-path.ts';

/** `ambiguous`: whoever serves the call may read it as another than the one that was matched. */
export type Found<Rule> =
  | { readonly kind: 'rule'; readonly rule: Rule }
  | { readonly kind: 'none' }
  | { readonly kind: 'ambiguous'; readonly because: string };

/** A call as patterns see it; `host` is a name without a port, in lower case. */
export type PatternCall = { readonly method: string; readonly host: string; readonly target: string };

/**
 * Finds the first of some rules whose pattern a call has. The patterns are laid out as a tree by segment once, so that a call costs its
 * own segments and not the number of rules.
 */
export class PatternIndex<Rule extends { readonly pattern: CallPattern }> {
  readonly #rules: readonly CompiledRule<Rule>[];
  readonly #root: Node = emptyNode();

  constructor(rules: readonly Rule[]) {
    this.#rules = rules.map(compile);
    for (const [index, rule] of this.#rules.entries()) plant(this.#root, rule, index);
  }

  find({ method, host, target }: PatternCall): Found<Rule> {
    if (!methods.has(method)) return { kind: 'ambiguous', because: 'a method that is not registered' };
    if (!PLAIN_HOST.test(host)) return { kind: 'ambiguous', because: 'a host that can be read in two ways' };
    const path = normalPathOf(target);
    if (path === null) return { kind: 'ambiguous', because: 'a path that can be read in two ways' };
    // Some services know /Admin from /admin and some do not: what matches without regard to case has to match with it, too.
    const index = this.#firstOf(segmentsOf(path.toLowerCase()), { method, host });
    if (index === -1) return { kind: 'none' };
    const { rule, segments } = this.#rules[index]!;
    const exact = segmentsOf(path);
    if (segments.every((segment, at) => segment === '*' || segment === exact[at])) return { kind: 'rule', rule };
    return { kind: 'ambiguous', because: 'a path that differs from a rule by case only' };
  }

  #firstOf(segments: readonly string[], call: Pick<PatternCall, 'method' | 'host'>): number {
    let best = this.#rules.length;
    const consider = (indexes: readonly number[]): void => {
      for (const index of indexes) {
        if (index >= best) return;
        if (applies(this.#rules[index]!, call)) best = index;
      }
    };
    let nodes: readonly Node[] = [this.#root];
    for (let depth = 0; nodes.length > 0; depth++) {
      const segment = segments[depth];
      const next: Node[] = [];
      for (const { below, here, children, any } of nodes) {
        consider(below);
        if (segment === undefined) {
          consider(here);
          continue;
        }
        const child = children.get(segment);
        if (child !== undefined) next.push(child);
        if (any !== null) next.push(any);
      }
      nodes = next;
    }
    return best === this.#rules.length ? -1 : best;
  }
}

/** A name, an address, or none: of a user, an escape, a second final dot or a second host a service could make the host of another rule. */
const PLAIN_HOST = /^(?:[a-z0-9._-]*[a-z0-9_-]|\[[0-9a-f:.]+\])?$/;

type CompiledRule<Rule> = {
  readonly rule: Rule;
  readonly segments: readonly string[];
  readonly isSubtree: boolean;
  /** Null: any. */
  readonly methods: ReadonlySet<string> | null;
  readonly host: string;
};

type Node = {
  readonly children: Map<string, Node>;
  any: Node | null;
  /** Rules of paths that end here, and of all paths that come by; in their order. */
  readonly here: number[];
  readonly below: number[];
};

function compile<Rule extends { readonly pattern: CallPattern }>(rule: Rule): CompiledRule<Rule> {
  const { path, host, methods: named } = rule.pattern;
  const isSubtree = path.endsWith('/**');
  return {
    rule,
    segments: segmentsOf(isSubtree ? path.slice(0, -'/**'.length) : path),
    isSubtree,
    methods: named.length === 0 ? null : new Set(named.includes('GET') ? [...named, 'HEAD'] : named),
    host,
  };
}

function plant(root: Node, { segments, isSubtree }: CompiledRule<unknown>, index: number): void {
  let node = root;
  for (const segment of segments) {
    const key = segment.toLowerCase();
    let child = segment === '*' ? node.any : (node.children.get(key) ?? null);
    if (child === null) {
      child = emptyNode();
      if (segment === '*') node.any = child;
      else node.children.set(key, child);
    }
    node = child;
  }
  (isSubtree ? node.below : node.here).push(index);
}

function applies({ methods: named, host }: CompiledRule<unknown>, call: Pick<PatternCall, 'method' | 'host'>): boolean {
  return (named === null || named.has(call.method)) && (host === '' || host === call.host);
}

function emptyNode(): Node {
  return { children: new Map(), any: null, here: [], below: [] };
}
