import { open } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { type Invocation, textOption } from './command.ts';

/** Hands a secret over: into a new file of mode 0600 where --out names one, else to stdout. */
export async function writeSecret(invocation: Invocation, what: string, secret: string): Promise<void> {
  const file = textOption(invocation, 'out');
  if (file === undefined) {
    invocation.output.answer({ [what]: secret }, () => [secret]);
    return;
  }
  await writeNewFile(file, `${secret}\n`);
  invocation.output.answer({ file }, () => [`${what} written to ${file}`]);
}

/** Writes a file that must not be there yet, for its owner only. @throws input-invalid */
export async function writeNewFile(file: string, content: string | Uint8Array): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot write ${file}, expected a name that is not taken in a writable directory`, { cause });
  });
  try {
    await handle.writeFile(content);
  } finally {
    await handle.close();
  }
}
