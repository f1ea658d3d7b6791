import { accessSync, constants, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

/**
 * Memory that looks like a disk, where there is enough, for databases that end with their test: what a test demands of them holds there too, and
 * most of what it waited for was the disk. A run of all tests names a folder there that goes with it.
 */
export function memoryFolder(): string {
  const ofRun = process.env['COUNTERSIGN_TEST_MEMORY'];
  if (ofRun !== undefined) return ofRun;
  try {
    accessSync(SHARED_MEMORY, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = statfsSync(SHARED_MEMORY);
    return bavail * bsize >= LEAST_BYTES ? SHARED_MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}

const SHARED_MEMORY = '/dev/shm';
/** A database of PostgreSQL takes 8 MB, its log of changes up to 256 MB; containers have 64 MB of shared memory unless told otherwise. */
const LEAST_BYTES = 2 * 1_024 ** 3;
