import { mutateOctets } from './mutate-octets.ts';
import type { Random } from './random.ts';

/** Changes of a flattened JWS: its members, and those of the protected header and payload inside; a fourth of the changes knows no form. */
export function mutateJws(random: Random, input: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const outer = readObject(Buffer.from(input).toString());
  if (outer === null || random.below(4) === 0) return mutateOctets(random, input, corpus);
  const part = random.pick(['', 'protected', 'payload']);
  const text = part === '' ? null : outer[part];
  const inner = typeof text === 'string' ? readObject(Buffer.from(text, 'base64url').toString()) : null;
  if (inner === null) return Buffer.from(changed(random, outer));
  return Buffer.from(JSON.stringify({ ...outer, [part]: Buffer.from(changed(random, inner)).toString('base64url') }));
}

type Json = { readonly [name: string]: unknown };

function readObject(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null;
  }
}

/** The object's text with one member gone, said twice, or of another value. */
function changed(random: Random, object: Json): string {
  const members = Object.entries(object).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value) ?? 'null'}`);
  const name = JSON.stringify(random.pick([...Object.keys(object), ...NAMES]));
  const member = `${name}:${random.below(8) === 0 ? nested(random.pick(DEPTHS)) : random.pick(VALUES)}`;
  const at = random.below(members.length + 1);
  members.splice(at, random.below(2), ...(random.below(4) === 0 ? [] : [member]));
  return `{${members.join(',')}}`;
}

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}

const NAMES = [
  'alg',
  'jwk',
  'kid',
  'nonce',
  'url',
  'crit',
  'b64',
  'header',
  'signatures',
  'x5c',
  'jku',
  '__proto__',
  'constructor',
  'k',
  'd',
];
const VALUES = [
  'null',
  'true',
  'false',
  '0',
  '-1',
  '1e999',
  '""',
  '"none"',
  '"HS256"',
  '"ES256"',
  '"RS256"',
  '"EdDSA"',
  '"ES512"',
  '"A="',
  '"\\u0000"',
  '[]',
  '{}',
  '["b64"]',
  '{"kty":"oct","k":"AAAA"}',
  '{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}',
  `"${'A'.repeat(3_000)}"`,
];
/** Deeper ones the mutator itself could not write again. */
const DEPTHS = [10, 500, 3_000];
