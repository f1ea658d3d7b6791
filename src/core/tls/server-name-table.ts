import { parseDnsName, parseDnsPattern } from '../identity/dns-name.ts';

/** Finds what belongs to the name that a ClientHello asks for; null where nothing does. */
export type ServerNameTable<Route> = (sni: string | null) => Route | null;

/**
 * Looks up by exact name first, then by the wildcard of one label. What is no host name finds nothing.
 * @throws identity-malformed for a pattern that is none
 */
export function makeServerNameTable<Route>(patterns: Iterable<readonly [pattern: string, route: Route]>): ServerNameTable<Route> {
  const exact = new Map<string, Route>();
  const wildcards = new Map<string, Route>();
  for (const [text, route] of patterns) {
    const pattern = parseDnsPattern(text);
    if (pattern.startsWith('*.')) wildcards.set(pattern.slice(2), route);
    else exact.set(pattern, route);
  }
  return (sni) => {
    const name = sni === null ? null : normalName(sni);
    if (name === null) return null;
    return exact.get(name) ?? wildcards.get(name.slice(name.indexOf('.') + 1)) ?? null;
  };
}

/** RFC 6066 section 3: without regard to case, without a final dot. */
function normalName(sni: string): string | null {
  try {
    return parseDnsName(sni);
  } catch {
    return null;
  }
}
