import { createHash } from 'node:crypto';
import type { Node } from '../data-plane/peer.ts';
import { encodeResource, type EncodedResource } from './encoded-resource.ts';
import type { ResourceSource } from './resource-source.ts';

/** Tells of a change after its commit; with names where the teller knows them. */
export type Changes = { subscribe(listener: (names?: readonly string[]) => void): Disposable };

/** A message's octets under its name. Without a version the digest of the octets is one. */
export type ResourceBody = { readonly name: string; readonly version?: string; readonly octets: Uint8Array };

/** One resource for all nodes, such as the trust bundle: read and encoded once per change, whatever the number of streams. */
export function sharedSource(deps: {
  readonly typeUrl: string;
  readonly read: () => Promise<ResourceBody | null>;
  readonly changes: Changes;
}): ResourceSource {
  let held: Promise<readonly EncodedResource[]> | null = null;
  // Subscribed before any stream, so that a stream that is told of a change finds nothing old here.
  deps.changes.subscribe(() => (held = null));
  const load = async (): Promise<readonly EncodedResource[]> => {
    const body = await deps.read();
    return body === null ? [] : [encode(deps.typeUrl, body)];
  };
  return {
    typeUrl: deps.typeUrl,
    maximumPerResponse: 1,
    forbids: () => null,
    async read(_node, names) {
      const loading = (held ??= load());
      // A failed read is not kept.
      loading.catch(() => held === loading && (held = null));
      return (await loading).filter(({ name }) => names === null || names.includes(name));
    },
    subscribe: (listener) => deps.changes.subscribe((names) => listener(names ?? null)),
  };
}

/** One resource per node, under the node's own id, such as its settings. Another node's is forbidden, not merely absent. */
export function ownSource(deps: {
  readonly typeUrl: string;
  readonly read: (node: Node) => Promise<ResourceBody | null>;
  readonly changes: Changes;
}): ResourceSource {
  return {
    typeUrl: deps.typeUrl,
    maximumPerResponse: 1,
    forbids: (node, name) => (name === '*' || name === node.proxyId ? null : 'foreign-resource'),
    async read(node, names) {
      if (names !== null && !names.includes(node.proxyId)) return [];
      const body = await deps.read(node);
      return body === null || body.name !== node.proxyId ? [] : [encode(deps.typeUrl, body)];
    },
    subscribe: (listener) => deps.changes.subscribe((names) => listener(names ?? null)),
  };
}

/** Resources for the probe identity alone, such as drill jobs. */
export function probeSource(deps: {
  readonly typeUrl: string;
  readonly read: (node: Node) => Promise<readonly ResourceBody[]>;
  readonly changes: Changes;
}): ResourceSource {
  return {
    typeUrl: deps.typeUrl,
    maximumPerResponse: 1,
    forbids: (node) => (node.isProbe ? null : 'probe-only'),
    async read(node, names) {
      const bodies = node.isProbe ? await deps.read(node) : [];
      return bodies.filter(({ name }) => names === null || names.includes(name)).map((body) => encode(deps.typeUrl, body));
    },
    subscribe: (listener) => deps.changes.subscribe((names) => listener(names ?? null)),
  };
}

function encode(typeUrl: string, { name, version, octets }: ResourceBody): EncodedResource {
  return encodeResource(typeUrl, name, version ?? createHash('sha256').update(octets).digest('hex'), octets);
}
