import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** The scratch folder of one run, 0700: logs, configurations, state, and the files that the observer and the tap write. */
export function makeRunDirectory(root: string, name: string): string {
  const directory = join(root, `${name}-${process.pid}`);
  rmSync(directory, { recursive: true, force: true });
  for (const folder of ['', 'logs', 'config', 'state']) mkdirSync(join(directory, folder), { recursive: true, mode: 0o700 });
  return directory;
}
