import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { Problem } from '../core/problems/problem.ts';

/** A file of declarations, or stdin for `-`. @throws input-invalid */
export async function readTextFile(file: string): Promise<string> {
  if (file === '-') return readAll(process.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read declaration: ${file}, expected a readable file`, { cause });
  }
}
