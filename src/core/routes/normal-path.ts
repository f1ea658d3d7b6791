/**
 * The path of a request target in its one spelling, without query and final slash; null where two programs could read it as two paths.
 * Escapes of unreserved characters are undone (RFC 3986 section 6.2.2). Dot segments, empty segments, path parameters, a backslash, an
 * escape that some program takes for a delimiter and an escape of an escape are what rules by path are evaded with, so they have no spelling.
 */
export function normalPathOf(target: string): string | null {
  const query = target.indexOf('?');
  const raw = query === -1 ? target : target.slice(0, query);
  if (raw.length > MAXIMUM_CHARACTERS || raw[0] !== '/' || AMBIGUOUS.test(raw)) return null;
  const path = raw.includes('%') ? undoEscapes(raw) : raw;
  if (path === null || DOT_SEGMENT.test(path)) return null;
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

function undoEscapes(raw: string): string | null {
  if (BROKEN_ESCAPE.test(raw) || DELIMITER_ESCAPE.test(raw)) return null;
  try {
    // Overlong and cut UTF-8 is read by some programs as the character that it hides.
    decodeURIComponent(raw);
  } catch {
    return null;
  }
  return raw.replaceAll(ESCAPE, (escape, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return UNRESERVED.test(character) ? character : escape.toUpperCase();
  });
}

/** Longer than any path that rules are written about; the work on a path is linear in it. */
const MAXIMUM_CHARACTERS = 8_192;
/** An empty segment, parameters of a segment, a backslash, a fragment, and what is no visible ASCII. */
// oxlint-disable-next-line no-control-regex -- controls are what it looks for
const AMBIGUOUS = /\/\/|[;\\#\u0000-\u0020\u007f-\uffff]/;
const DOT_SEGMENT = /\/\.\.?(?:\/|$)/;
const BROKEN_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
/** Of `/`, `\`, `;`, `?`, `#`, of a control, and of a `%` that begins another escape. */
const DELIMITER_ESCAPE = /%(?:2f|5c|3b|3f|23|[01][0-9a-f]|7f|25[0-9a-f]{2})/i;
const ESCAPE = /%([0-9A-Fa-f]{2})/g;
/** RFC 3986 section 2.3. */
const UNRESERVED = /[A-Za-z0-9._~-]/;
