import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openCheckpoint } from '../core/merkle/checkpoint.ts';
import { parseVerifier } from '../core/merkle/signed-note.ts';
import { entriesPath, tilePath, tilesOf } from '../core/merkle/tile.ts';
import { VERIFIER_FILE } from './audit-verify.ts';
import { type Client, openClient } from './client.ts';
import { type Run, UsageError } from './command.ts';

/** `countersign audit export DIRECTORY`: the log up to one checkpoint, as any tlog-tiles client would fetch it. */
export const run: Run = async (invocation) => {
  const [directory] = invocation.args;
  if (directory === undefined) throw new UsageError('the directory is missing');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if ((await readdir(directory)).length > 0) throw new UsageError(`${directory} is not empty`);
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

async function fetchFile(client: Client, directory: string, path: string): Promise<void> {
  const file = join(directory, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, await client.getBytes(`/log/${path}`));
}
