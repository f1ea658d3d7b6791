import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a run of the tool said; `code` 0 is acceptance. */
export type OpensslAnswer = { readonly code: number; readonly output: string };

/** True if the tool is there. With CI=true its absence is an error, elsewhere the tests that need it are left out by name. */
export async function hasOpenssl(): Promise<boolean> {
  const { code } = await openssl(['version']);
  if (code !== 0 && process.env['CI'] === 'true') throw new Error('openssl is missing, expected it where CI=true');
  return code === 0;
}

/** Runs the tool, without a shell. */
export async function openssl(args: readonly string[]): Promise<OpensslAnswer> {
  try {
    const { stdout, stderr } = await run('openssl', args, { timeout: 30_000 });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: number | string; stdout?: string; stderr?: string };
    return { code: typeof code === 'number' ? code : -1, output: stdout + stderr };
  }
}

/** A directory of files that goes away with its owner. */
export async function makeFiles(): Promise<{
  write(name: string, content: string | Uint8Array): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-openssl-'));
  return {
    async write(name, content) {
      const path = join(directory, name);
      await writeFile(path, content);
      return path;
    },
    async [Symbol.asyncDispose]() {
      await rm(directory, { recursive: true });
    },
  };
}
