import { readFile } from 'node:fs/promises';
import { Problem } from '../../core/problems/problem.ts';

/**
 * Reads a list of keys that are known to others: one SHA-256 of a SubjectPublicKeyInfo a line, hex; `#` begins a remark.
 * @throws input-invalid naming what is none
 */
export async function readBlockedKeys(file: string): Promise<ReadonlySet<string>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read ${file}, expected a readable file`, { cause });
  }
  const digests = text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim().toLowerCase())
    .filter((line) => line !== '');
  const bad = digests.find((digest) => !/^[0-9a-f]{64}$/.test(digest));
  if (bad !== undefined)
    throw new Problem('input-invalid', `Cannot read ${file}: ${JSON.stringify(bad.slice(0, 80))}, expected SHA-256 digests in hex`);
  return new Set(digests);
}
