import { parseDnsPattern } from '../../core/identity/dns-name.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Identifier } from './identifier.ts';
import { AcmeProblem, malformed, type Subproblem } from './problems.ts';

/**
 * The identifiers of an order, sorted, each once. Every one that cannot be had is told at once.
 * @throws malformed, unsupportedIdentifier, rejectedIdentifier, compound
 */
export function parseIdentifiers(value: unknown): readonly Identifier[] {
  if (!Array.isArray(value) || value.length === 0) throw malformed('identifiers is no list with an entry');
  if (value.length > MAXIMUM_IDENTIFIERS) throw malformed(`${value.length} identifiers, expected at most ${MAXIMUM_IDENTIFIERS}`);
  const asked = value.map(readShape);
  const faults: Subproblem[] = [];
  const found = new Map<string, Identifier>();
  for (const one of asked) {
    const judged = judge(one);
    if ('detail' in judged) faults.push(judged);
    else found.set(`${judged.type}:${judged.value}`, judged);
  }
  if (faults.length > 0) throw compound(faults);
  return [...found.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, identifier]) => identifier);
}

/** One fault is the problem itself; several are told as subproblems (RFC 8555 section 6.7.1). */
export function compound(faults: readonly Subproblem[]): AcmeProblem {
  const [first] = faults;
  if (faults.length === 1) return new AcmeProblem(first!.type, `${first!.identifier.value}: ${first!.detail}`);
  const types = new Set(faults.map(({ type }) => type));
  return new AcmeProblem(types.size === 1 ? first!.type : 'compound', `${faults.length} identifiers are refused`, { subproblems: faults });
}

type Asked = { readonly type: string; readonly value: string };

function readShape(value: unknown): Asked {
  const { type, value: text } = typeof value === 'object' && value !== null ? (value as { type?: unknown; value?: unknown }) : {};
  if (typeof type !== 'string' || typeof text !== 'string') throw malformed('an identifier without type and value as texts');
  if (text.length > MAXIMUM_CHARACTERS || type.length > MAXIMUM_CHARACTERS) throw malformed('an identifier is too long');
  return { type, value: text };
}

function judge({ type, value }: Asked): Identifier | Subproblem {
  try {
    if (type === 'dns') return { type, value: parseDnsPattern(value) };
    if (type === 'ip') return judgeAddress(value);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { type: 'rejectedIdentifier', detail: error.message, identifier: { type: type as 'dns' | 'ip', value } };
  }
  return { type: 'unsupportedIdentifier', detail: 'expected type dns or ip', identifier: { type: type as 'dns', value } };
}

/** RFC 8738 section 3: the text of RFC 5952 is the only one. */
function judgeAddress(value: string): Identifier | Subproblem {
  const address = parseIpAddress(value);
  if (address === value) return { type: 'ip', value };
  return { type: 'rejectedIdentifier', detail: `expected the spelling ${address} (RFC 5952)`, identifier: { type: 'ip', value } };
}

/** As the profile's own bound: a certificate with more is a directory. */
const MAXIMUM_IDENTIFIERS = 100;
const MAXIMUM_CHARACTERS = 300;
