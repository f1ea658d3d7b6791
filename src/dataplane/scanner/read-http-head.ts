import type { HttpAnswer } from '../../core/findings/posture.ts';

/** The head of an HTTP/1 answer, as far as it has come; null: it is none. Of a field that comes twice the first counts (RFC 6797 section 8.1). */
export function readHttpHead(text: string): HttpAnswer | null {
  const [statusLine = '', ...lines] = text.split('\r\n\r\n', 1)[0]!.split('\r\n');
  if (!/^HTTP\/1\.[01] \d{3}/.test(statusLine)) return null;
  const fields = new Map<string, string>();
  for (const line of lines.slice(0, MAXIMUM_FIELDS)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    if (colon > 0 && !fields.has(name)) fields.set(name, line.slice(colon + 1).trim());
  }
  return { statusLine: statusLine.slice(0, MAXIMUM_LINE), fields };
}

const MAXIMUM_FIELDS = 200;
const MAXIMUM_LINE = 200;
