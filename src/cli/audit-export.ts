import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openCheckpoint } from '../core/merkle/checkpoint.ts';
import { parseVerifier } from '../core/merkle/signed-note.ts';
import { Problem } from '../core/problems/problem.ts';
import { entriesPath, tilePath, tilesOf } from '../core/merkle/tile.ts';
import { VERIFIER_FILE } from './audit-verify.ts';
import { type Client, openClient } from './client.ts';
import { type Run, UsageError } from './command.ts';

/** `countersign audit export DIRECTORY`: the log up to one checkpoint, as any tlog-tiles client would fetch it. */
export const run: Run = async (invocation) => {
  const [directory] = invocation.args;
  if (directory === undefined) throw new UsageError('the directory is missing');
  await makeEmptyDirectory(directory);
  const client = openClient(invocation);
  const verifier = await client.getText('/log/verifier');
  const note = await client.getText('/log/checkpoint');
  const { size, origin } = openCheckpoint(note, parseVerifier(verifier));
  let written = 0;
  for (const tile of tilesOf(size)) {
    await fetchFile(client, directory, tilePath(tile));
    if (tile.level === 0) await fetchFile(client, directory, entriesPath(tile.index, tile.width));
    invocation.output.progress(`fetched ${++written} tiles`);
  }
  await writeFile(join(directory, VERIFIER_FILE), verifier);
  // The checkpoint comes last: a directory with one is whole.
  await writeFile(join(directory, 'checkpoint'), note);
  invocation.output.answer({ directory, origin, size, tiles: written }, () => [`${size} entries of ${origin} in ${directory}`]);
  return 'ok';
};

async function makeEmptyDirectory(directory: string): Promise<void> {
  const held = await mkdir(directory, { recursive: true, mode: 0o700 })
    .then(() => readdir(directory))
    .catch((cause: unknown) => {
      throw new Problem('input-invalid', `Cannot export to ${directory}, expected a directory that can be written`, { cause });
    });
  if (held.length > 0) throw new UsageError(`${directory} is not empty`);
}

async function fetchFile(client: Client, directory: string, path: string): Promise<void> {
  const file = join(directory, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, await client.getBytes(`/log/${path}`));
}
