import { readFile, rm } from 'node:fs/promises';
import { openClient } from './client.ts';
import { neededOption, type Run } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** `countersign token exchange`: the bootstrap file is of no more use afterwards and is removed. */
export const run: Run = async (invocation) => {
  const file = neededOption(invocation, 'bootstrapFile');
  const token = (await readFile(file, 'utf8')).trim();
  const answer = await openClient(invocation, 'none').post<{ readonly token: string }>('/v1/bootstrap-exchange', {
    token,
    name: neededOption(invocation, 'name'),
  });
  await writeSecret(invocation, 'token', answer.token);
  await rm(file, { force: true });
  return 'ok';
};
