import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { Problem } from '../core/problems/problem.ts';
import { openClient } from './client.ts';
import { neededOption, type Run, textOption } from './command.ts';

/** `countersign token trust`: declares an issuer of tokens, in the place of what the name stood for. */
export const run: Run = async (invocation) => {
  const name = neededOption(invocation, 'name');
  const environment = textOption(invocation, 'environment');
  const spec = await readSpec(neededOption(invocation, 'file'));
  const order = { name, spec, ...(environment === undefined ? {} : { environment }) };
  const made = await openClient(invocation).post<{ readonly id: string }>('/v1/identity-providers', order);
  invocation.output.answer(made, () => [`tokens of ${name} are taken: ${made.id}`]);
  return 'ok';
};

async function readSpec(file: string): Promise<unknown> {
  try {
    return parse(await readFile(file, 'utf8'), { maxAliasCount: 0, strict: true, uniqueKeys: true });
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read identity provider: ${file}, expected a readable YAML file`, { cause });
  }
}
