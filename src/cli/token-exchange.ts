import { readFile, rm } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { openClient } from './client.ts';
import { neededOption, type Run } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token exchange`: the bootstrap file is of no more use afterwards and is removed. */
export const run: Run = async (invocation) => {
  const file = neededOption(invocation, 'bootstrapFile');
  const name = neededOption(invocation, 'name');
  const token = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot read bootstrap token: ${file}, expected a readable file`, { cause });
  });
  const client = openClient(invocation, 'none');
  await writeSecret(invocation, 'token', async () => {
    return (await client.post<{ readonly token: string }>('/v1/bootstrap-exchange', { token: token.trim(), name })).token;
  });
  await rm(file, { force: true });
  return 'ok';
};
