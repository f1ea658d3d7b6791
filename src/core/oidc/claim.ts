/** The claims of a verified token: JSON as it came. */
export type Claims = { readonly [name: string]: unknown };

/** A claim of one value as text; null for what has none: objects, lists, null. */
export function claimText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value)) ? String(value) : null;
}

/**
 * The value that a path such as `kubernetes.io.serviceaccount.name` leads to. Dots separate levels, but names of claims hold dots too, so every way of
 * cutting the path is tried; undefined if none leads anywhere, and also if several do: which was meant nobody could tell.
 */
export function readClaim(claims: Claims, path: string): unknown {
  const found = followPath(claims, path);
  return found.length === 1 ? found[0] : undefined;
}

function followPath(value: unknown, path: string): unknown[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  const table = value as Claims;
  const found: unknown[] = [];
  for (let end = path.length; end > 0; end = path.lastIndexOf('.', end - 1)) {
    const name = path.slice(0, end);
    if (!Object.hasOwn(table, name)) continue;
    if (end === path.length) found.push(table[name]);
    else found.push(...followPath(table[name], path.slice(end + 1)));
  }
  return found;
}
