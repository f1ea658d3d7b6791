import { open, rm } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { type Invocation, textOption } from './command.ts';

/** A file whose name is taken and still empty. Disposing of it before it was written gives the name back. */
export type ReservedFile = AsyncDisposable & { write(content: string | Uint8Array): Promise<void> };

/**
 * Takes the name of a file that must not be there yet, for its owner only. Done before the server is asked: what it shows once
 * must not be lost to a name that cannot be written. @throws input-invalid
 */
export async function reserveFile(file: string): Promise<ReservedFile> {
  const handle = await open(file, 'wx', 0o600).catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot write ${file}, expected a name that is not taken in a writable directory`, { cause });
  });
  let isWritten = false;
  return {
    async write(content) {
      await handle.writeFile(content);
      isWritten = true;
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      if (!isWritten) await rm(file, { force: true });
    },
  };
}

/** The place for a file that a command may write, or none where --out is not given. */
export async function reserveOut(invocation: Invocation): Promise<(ReservedFile & { readonly file: string }) | null> {
  const file = textOption(invocation, 'out');
  return file === undefined ? null : Object.assign(await reserveFile(file), { file });
}

/** Asks for a secret and hands it over: into a new file of mode 0600 where --out names one, else to stdout. */
export async function writeSecret(invocation: Invocation, what: string, ask: () => Promise<string>): Promise<void> {
  await using out = await reserveOut(invocation);
  const secret = await ask();
  if (out === null) {
    invocation.output.answer({ [what]: secret }, () => [secret]);
    return;
  }
  await out.write(`${secret}\n`);
  invocation.output.answer({ file: out.file }, () => [`${what} written to ${out.file}`]);
}
