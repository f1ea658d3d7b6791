import { readFile } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { openClient } from './client.ts';
import { type Run, textOption, UsageError } from './command.ts';

/** `countersign cert import`. */
export const run: Run = async (invocation) => {
  const [file] = invocation.args;
  if (file === undefined) throw new UsageError('the file is missing');
  const trusted = textOption(invocation, 'trusted');
  const [pem, rootsPem] = await Promise.all([readPem(file), trusted === undefined ? undefined : readPem(trusted)]);
  // It would be refused, but should not leave this machine.
  if (/PRIVATE KEY-----/.test(pem))
    throw new Problem('input-invalid', `Cannot import certificate: ${file} holds a private key, expected certificates alone`);
  const given = Object.entries({
    environment: textOption(invocation, 'environment'),
    endpoint: textOption(invocation, 'endpoint'),
    rootsPem,
  });
  const body = { pem, ...Object.fromEntries(given.filter(([, value]) => value !== undefined)) };
  const made = await openClient(invocation).post<{ readonly serial: string }>('/v1/external-certificates', body);
  invocation.output.answer(made, () => [`certificate ${made.serial} is watched`]);
  return 'ok';
};

async function readPem(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot read certificate: ${file}, expected a readable file`, { cause });
  });
}
