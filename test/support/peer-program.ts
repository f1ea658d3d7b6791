import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** What a run of a program said. */
export type ProgramAnswer = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** A reason to leave out the tests that need the program, or false. With CI=true its absence is no reason: they fail. */
export function missing(program: string): string | false {
  const isThere = program.startsWith('/')
    ? existsSync(program)
    : (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(`${folder}/${program}`));
  return isThere || process.env['CI'] === 'true' ? false : `no ${program} here`;
}

/** Runs a program without a shell; a run that does not end in time ends with a code of -1. */
export function runProgram(program: string, args: readonly string[], timeoutMs = 30_000): Promise<ProgramAnswer> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: timeoutMs, maxBuffer: 64_000_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
    });
  });
}

/** The same for what `npm run peers` puts into a folder of its own. */
export function missingPeer(path: string): string | false {
  return existsSync(join(import.meta.dirname, '../../.test/peers', path)) || process.env['CI'] === 'true' ? false : `no ${path} here`;
}
