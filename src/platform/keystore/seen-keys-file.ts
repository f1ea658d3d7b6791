import { Problem } from '../../core/problems/problem.ts';

type KeysByEndpoint = ReadonlyMap<string, ReadonlySet<string>>;

/** Keys that servers were last seen to have, as JSON. */
export function encodeSeenKeys(seen: KeysByEndpoint): Uint8Array {
  return Buffer.from(JSON.stringify(Object.fromEntries([...seen].map(([endpointId, keys]) => [endpointId, [...keys]]))));
}

/** @throws state-corrupt, SyntaxError */
export function decodeSeenKeys(content: Uint8Array): KeysByEndpoint {
  const read: unknown = JSON.parse(Buffer.from(content).toString('utf8'));
  if (typeof read !== 'object' || read === null || Array.isArray(read)) throw unlike();
  return new Map(Object.entries(read).map(([endpointId, keys]: [string, unknown]) => [endpointId, new Set(readKeys(keys))]));
}

function readKeys(keys: unknown): readonly string[] {
  const isList = Array.isArray(keys) && keys.every((key) => typeof key === 'string' && /^[0-9a-f]{64}$/.test(key));
  if (!isList) throw unlike();
  return keys as readonly string[];
}

function unlike(): Problem {
  return new Problem('state-corrupt', 'Cannot read seen keys: expected lists of digests by endpoint');
}
