import { readFile } from 'node:fs/promises';
import { Problem } from '../../core/problems/problem.ts';

/**
 * Reads a list of keys that are known to others, one a line in hex: the SHA-256 of a SubjectPublicKeyInfo, or 20 digits as the lists of
 * Debian's weak keys have them (`core/x509/debian-key-digest.ts`); `#` begins a remark.
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
  const bad = digests.find((digest) => !/^(?:[0-9a-f]{64}|[0-9a-f]{20})$/.test(digest));
  if (bad !== undefined)
    throw new Problem(
      'input-invalid',
      `Cannot read ${file}: ${JSON.stringify(bad.slice(0, 80))}, expected SHA-256 digests in hex, or 20 digits of a Debian list`,
    );
  return new Set(digests);
}
