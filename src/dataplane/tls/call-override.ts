import type { CallRequest } from './call-request.ts';

/** True where a field asks some frameworks to serve another method or path than the one that the request line names. */
export function hasOverride(request: CallRequest): boolean {
  return request.fields().some((name, at) => at % 2 === 0 && overrides.has(name.replaceAll('_', '-')));
}

const overrides: ReadonlySet<string> = new Set([
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
]);
