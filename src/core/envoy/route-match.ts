import type { RouteMatchSchema } from '../messages/generated/envoy/config/route/v3/route_components_pb.ts';
import { methods as registered } from '../http1/request-head.ts';
import { segmentsOf } from '../routes/call-pattern.ts';
import type { Init } from './pack.ts';

type RouteMatch = Init<typeof RouteMatchSchema>;
type HeaderMatch = NonNullable<RouteMatch['headers']>[number];

export type PatternOfCalls = { readonly methods: readonly string[]; readonly host: string; readonly path: string };

/** `exact`: the spelling of the pattern. `any-case`: what some services would read as it. A call that has the pattern has one of these. */
export function patternMatches({ methods, host, path }: PatternOfCalls, spelling: 'exact' | 'any-case'): readonly RouteMatch[] {
  const headers = [...methodMatch(methods), ...hostMatch(host)];
  return pathMatches(path, spelling).map((match) => ({ ...match, headers }));
}

/** Only a path with a `*` in its midst costs a regular expression. */
function pathMatches(path: string, spelling: 'exact' | 'any-case'): readonly RouteMatch[] {
  const caseSensitive = spelling === 'exact';
  const isSubtree = path.endsWith('/**');
  const stem = isSubtree ? path.slice(0, -'/**'.length) : path;
  if (segmentsOf(stem).includes('*')) {
    return [{ pathSpecifier: { case: 'safeRegex', value: { regex: `${caseSensitive ? '' : '(?i)'}${pathRegex(stem, isSubtree)}` } } }];
  }
  if (isSubtree)
    return [{ caseSensitive, pathSpecifier: stem === '' ? { case: 'prefix', value: '/' } : { case: 'pathSeparatedPrefix', value: stem } }];
  const spelled = stem === '/' ? ['/'] : [stem, `${stem}/`];
  return spelled.map((value) => ({ caseSensitive, pathSpecifier: { case: 'path', value } }));
}

/** What whoever serves it could read as another path than the one that was matched; nobody who is enforced may ask for it. */
export function ambiguousMatches(): readonly RouteMatch[] {
  return [
    { pathSpecifier: { case: 'safeRegex', value: { regex: `(?i).*(?:${AMBIGUOUS.join('|')}).*` } } },
    {
      pathSpecifier: { case: 'prefix', value: '' },
      headers: [{ name: ':method', headerMatchSpecifier: regexMatch([...registered].join('|')), invertMatch: true }],
    },
    {
      pathSpecifier: { case: 'prefix', value: '' },
      headers: [{ name: ':authority', headerMatchSpecifier: regexMatch(PLAIN_HOST), invertMatch: true }],
    },
  ];
}

/** Every call. */
export function anyMatch(): RouteMatch {
  return { pathSpecifier: { case: 'prefix', value: '' } };
}

function pathRegex(stem: string, isSubtree: boolean): string {
  const regex = segmentsOf(stem)
    .map((segment) => `/${segment === '*' ? '[^/]+' : escapeRegex(segment)}`)
    .join('');
  return `${regex}${isSubtree ? '(?:/.*)?' : '/?'}`;
}

/** A rule for GET is one for HEAD, which services answer by the same code. */
function methodMatch(methods: readonly string[]): readonly HeaderMatch[] {
  if (methods.length === 0) return [];
  const all = [...new Set(methods.includes('GET') ? [...methods, 'HEAD'] : methods)];
  return [{ name: ':method', headerMatchSpecifier: regexMatch(all.join('|')) }];
}

function hostMatch(host: string): readonly HeaderMatch[] {
  return host === '' ? [] : [{ name: ':authority', headerMatchSpecifier: regexMatch(`(?i)${escapeRegex(host)}\\.?(?::[0-9]*)?`) }];
}

function regexMatch(regex: string) {
  return { case: 'stringMatch' as const, value: { matchPattern: { case: 'safeRegex' as const, value: { regex } } } };
}

function escapeRegex(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}

/** A name or an address, and a port: of a user, an escape, a second final dot or a second host a service could make the host of another rule. */
const PLAIN_HOST = String.raw`(?i)(?:[a-z0-9._-]*[a-z0-9_-]\.?|\[[0-9a-f:.]+\])(?::[0-9]*)?`;
/**
 * As `normalPathOf` has no spelling for, and escapes of unreserved characters too: RE2 cannot undo these, and a rule must not be evaded by
 * them.
 */
const AMBIGUOUS = [
  String.raw`//|[;\\#]|[^\x21-\x7e]`,
  String.raw`/\.\.?(?:/|$)`,
  '%(?:[^0-9a-f]|.[^0-9a-f]|.?$)',
  '%(?:2f|5c|3b|3f|23|[01][0-9a-f]|7f|25|c[01]|f[5-9a-f])',
  '%(?:3[0-9]|4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a]|2d|2e|5f|7e)',
];
