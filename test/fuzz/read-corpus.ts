import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The inputs of `corpus/NAME.txt`: a line each, a word that names it and its octets in base64. Lines that begin with # tell where they are from. */
export function readCorpus(name: string): readonly Uint8Array[] {
  return readFileSync(join(import.meta.dirname, 'corpus', `${name}.txt`), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => Buffer.from(line.slice(line.indexOf(' ') + 1), 'base64'));
}
