import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Problem } from '../../core/problems/problem.ts';

/**
 * Replaces a file as a whole: written beside it, flushed, renamed, and the folder flushed.
 * After a crash at any point the old or the new content is there, never a mixture.
 */
export async function writeStateFile(directory: string, name: string, content: Uint8Array): Promise<void> {
  const temporary = join(directory, `.${name}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(Buffer.concat([headerOf(name, content), content]));
    await file.sync();
    await rename(temporary, join(directory, name));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await using folder = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
}

/**
 * The content, or null if the file was never written.
 * @throws state-permissions if it is a link, or belongs to or is open to others; state-corrupt if it is cut or changed
 */
export async function readStateFile(directory: string, name: string): Promise<Uint8Array | null> {
  const path = join(directory, name);
  const file = await openQuietly(path);
  if (file === null) return null;
  try {
    const facts = await file.stat();
    if (!facts.isFile() || (facts.mode & 0o077) !== 0 || facts.uid !== process.getuid?.()) {
      throw new Problem(
        'state-permissions',
        `Cannot read ${path}: mode ${(facts.mode & 0o777).toString(8)}, expected a file of our own with mode 600`,
      );
    }
    if (facts.size > MAXIMUM_OCTETS) throw corrupt(path, `${facts.size} octets, expected at most ${MAXIMUM_OCTETS}`);
    const octets = await file.readFile();
    const end = octets.indexOf(0x0a);
    const content = octets.subarray(end + 1);
    if (end === -1 || !octets.subarray(0, end + 1).equals(headerOf(name, content))) {
      throw corrupt(path, 'the first line does not fit the content, expected the digest of what follows');
    }
    return content;
  } finally {
    await file.close();
  }
}

/** The problem of a file that is whole but not what it should be. */
export function corrupt(path: string, what: string, cause?: unknown): Problem {
  return new Problem('state-corrupt', `Cannot read ${path}: ${what}`, { cause });
}

async function openQuietly(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (code === 'ELOOP' || code === 'EACCES') {
      throw new Problem('state-permissions', `Cannot read ${path}: ${code}, expected a file of our own with mode 600`, { cause: error });
    }
    throw error;
  }
}

/** The digest is against accidents (a full disk, a hand edit), not against someone who can write here. */
function headerOf(name: string, content: Uint8Array): Buffer {
  return Buffer.from(`countersign-state 1 ${name} ${createHash('sha256').update(content).digest('hex')}\n`);
}

/** The largest message that the control plane sends, and room for its header. */
const MAXIMUM_OCTETS = 17 * 1024 * 1024;
