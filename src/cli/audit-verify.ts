import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeVerifier, parseVerifier } from '../core/merkle/signed-note.ts';
import { verifyLog } from '../core/merkle/verify-log.ts';
import { Problem } from '../core/problems/problem.ts';
import { type Run, textOption, UsageError } from './command.ts';

/** `countersign audit verify`: needs the exported files and nothing else, least of all a server. */
export const run: Run = async (invocation) => {
  const [directory] = invocation.args;
  if (directory === undefined) throw new UsageError('the directory of the export is missing');
  const given = textOption(invocation, 'key');
  const verifier = parseVerifier(await readText(given ?? join(directory, VERIFIER_FILE)));
  const checkpoints = textOption(invocation, 'checkpoints');
  const earlier = checkpoints === undefined ? [] : await readNotes(checkpoints);
  const types = new Map<string, number>();
  try {
    const report = await verifyLog({ read: (path) => readFile(join(directory, path)) }, verifier, {
      earlier,
      onLeaf: (leaf, index) => {
        if (index % 1_000 === 0) invocation.output.progress(`verified ${index} entries`);
        const { type } = JSON.parse(Buffer.from(leaf).toString()) as { readonly type: string };
        types.set(type, (types.get(type) ?? 0) + 1);
      },
    });
    const answer = {
      verified: true,
      ...report,
      verifier: encodeVerifier(verifier),
      entriesByType: Object.fromEntries([...types].toSorted()),
    };
    invocation.output.answer(answer, () => [
      `verified: ${report.size} entries of ${report.origin}, root ${report.root}, ${report.extended} earlier checkpoints extended`,
      ...(given === undefined ? ['note: the key came with the export; compare it with one obtained elsewhere (--key)'] : []),
    ]);
    return 'ok';
  } catch (error) {
    const because = describeFault(error);
    if (because === null) throw error;
    invocation.output.answer({ verified: false, because }, () => [`not verified: ${because}`]);
    return 'no';
  }
};

function describeFault(error: unknown): string | null {
  if (error instanceof Problem && error.code === 'log-invalid') return error.message;
  if (error instanceof SyntaxError) return 'an entry is no JSON';
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'a file of the log is missing';
  return null;
}

async function readNotes(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot read checkpoints: ${directory}, expected a directory of them`, { cause });
  });
  return Promise.all(names.toSorted().map((name) => readText(join(directory, name))));
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read ${file}, expected a readable file`, { cause });
  }
}

/** What `audit export` writes beside the tiles. */
export const VERIFIER_FILE = 'verifier';
