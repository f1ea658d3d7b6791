import { Problem } from '../problems/problem.ts';

/** One block of RFC 7468 text, 64 columns, with a final line end. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString('base64');
  let lines = base64.slice(0, COLUMNS);
  for (let at = COLUMNS; at < base64.length; at += COLUMNS) lines += `\n${base64.slice(at, at + COLUMNS)}`;
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/**
 * The DER of every block with this label, in order; text between blocks and blocks with other labels are passed over (RFC 7468 section 2).
 * @throws der-malformed when a block is cut, is no strict base64, or the text passes the limits
 */
export function decodePem(text: string, label: string): Uint8Array[] {
  if (text.length > MAX_CHARACTERS) throw bad(`${text.length} characters, expected at most ${MAX_CHARACTERS}`);
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  const blocks: Uint8Array[] = [];
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const start = at + begin.length;
    const stop = text.indexOf(end, start);
    if (stop < 0) throw bad(`a ${label} block without its end line`);
    if (blocks.length === MAX_BLOCKS) throw bad(`more than ${MAX_BLOCKS} blocks`);
    const block = decodeBase64(text.slice(start, stop));
    if (block === null) throw bad('a block that is not base64');
    blocks.push(block);
    at = stop + end.length;
  }
  return blocks;
}

/** Strict base64 with white space, else null: a text that does not encode back to itself could mean two things. */
export function decodeBase64(body: string): Uint8Array | null {
  const compact = body.replaceAll(/[ \t\r\n\v\f]+/g, '');
  const octets = Buffer.from(compact, 'base64');
  if (compact === '' || octets.toString('base64') !== compact) return null;
  return new Uint8Array(octets.buffer, octets.byteOffset, octets.length);
}

function bad(found: string): Problem {
  return new Problem('der-malformed', `Cannot parse PEM: ${found}`);
}

const COLUMNS = 64;
const MAX_CHARACTERS = 16_777_216;
const MAX_BLOCKS = 1_000;
