import { parseDnsName } from '../identity/dns-name.ts';
import { methods } from '../http1/request-head.ts';
import { Problem } from '../problems/problem.ts';
import { normalPathOf } from './normal-path.ts';

/** Which HTTP calls are meant. */
export type CallPattern = {
  /** Empty: any. `GET` means `HEAD`, too, which services answer by the same code. */
  readonly methods: readonly string[];
  /** Lower case, without port; empty: any. */
  readonly host: string;
  /** `/a/b`, `/a/*` with one segment in the place of `*`, `/a/**` with whatever begins with these segments. */
  readonly path: string;
};

/** Brings a path pattern into the spelling that paths are matched in. @throws input-invalid */
export function parsePathPattern(text: string): string {
  const isSubtree = text.endsWith('/**');
  const stem = isSubtree ? text.slice(0, -'/**'.length) : text;
  const path = stem === '' && isSubtree ? '' : normalPathOf(stem);
  const segments = path === null ? [] : segmentsOf(path);
  const isOdd = segments.some((segment) => segment.includes('*') && segment !== '*');
  if (path === null || text.includes('?') || isOdd || segments.length > MAXIMUM_SEGMENTS) {
    throw invalid(text, 'a path such as /a/b, /a/*/b or /a/**, in which no segment is empty or made of dots');
  }
  return isSubtree ? `${path === '/' ? '' : path}/**` : path;
}

/** @throws input-invalid for a method that no proxy takes */
export function parseMethod(text: string): string {
  if (!methods.has(text)) throw invalid(text, 'a registered method in capitals');
  return text;
}

/** @throws input-invalid unless it is empty or a DNS name without a port */
export function parsePatternHost(text: string): string {
  return text === '' ? '' : parseDnsName(text);
}

/** The segments of a normal path or of a pattern without its final `**`; none of `/`. */
export function segmentsOf(path: string): readonly string[] {
  return path === '/' || path === '' ? [] : path.slice(1).split('/');
}

/** The host of a Host field or of :authority, without port and final dot, in lower case. */
export function hostNameOf(authority: string): string {
  const end = authority.startsWith('[') ? authority.indexOf(']') + 1 : authority.indexOf(':');
  const host = (end > 0 ? authority.slice(0, end) : authority).toLowerCase();
  return host.endsWith('.') ? host.slice(0, -1) : host;
}

function invalid(text: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot parse route: ${JSON.stringify(text.slice(0, 200))}, expected ${expected}`);
}

/** Deeper than interfaces of services go; a tree of patterns is walked segment by segment. */
const MAXIMUM_SEGMENTS = 32;
