import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Problem } from '../../core/problems/problem.ts';

/**
 * Takes a folder for this process until the function returned is called or the process ends, however it ends: the lock is the
 * kernel's, by way of SQLite, as Node has no other. @throws state-conflict if somebody has it
 */
export function lockFolder(path: string): () => void {
  const database = new DatabaseSync(join(path, 'lock'));
  try {
    database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if ((cause as { readonly errcode?: number }).errcode !== SQLITE_BUSY) throw cause;
    throw new Problem('state-conflict', `Cannot use ${path}: another process or data plane has it, expected a folder of its own for each`, {
      cause,
    });
  }
  return () => database.close();
}

const SQLITE_BUSY = 5;
