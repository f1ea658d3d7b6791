import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { Problem } from '../core/problems/problem.ts';
import { openClient } from './client.ts';
import { neededOption, type Run, textOption } from './command.ts';

/** `countersign external declare`: secrets come by file, never by argv and never in the YAML. */
export const run: Run = async (invocation) => {
  const name = neededOption(invocation, 'name');
  const environment = textOption(invocation, 'environment');
  const declared = await readDeclaration(neededOption(invocation, 'file'));
  const [bindingKey, webhookToken, dnsKey] = await Promise.all(
    ['bindingKeyFile', 'webhookTokenFile', 'dnsKeyFile'].map((option) => readSecret(textOption(invocation, option))),
  );
  const order = {
    ...declared,
    name,
    ...(environment === undefined ? {} : { environment }),
    ...(bindingKey === undefined ? {} : { bindingKey }),
    ...(webhookToken === undefined ? {} : { webhookToken }),
    ...(dnsKey === undefined ? {} : { dnsKey }),
  };
  const made = await openClient(invocation).post<{ readonly id: string }>('/v1/external-authorities', order);
  invocation.output.answer(made, () => [`${name} may be asked: ${made.id}`]);
  return 'ok';
};

async function readDeclaration(file: string): Promise<object> {
  let value: unknown;
  try {
    value = parse(await readFile(file, 'utf8'), { maxAliasCount: 0, strict: true, uniqueKeys: true });
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read declaration: ${file}, expected a readable YAML file`, { cause });
  }
  if (typeof value !== 'object' || value === null || ['bindingKey', 'webhookToken', 'dnsKey'].some((key) => key in value))
    throw new Problem('input-invalid', `Cannot read declaration: ${file}, expected keys without secrets, which come by files of their own`);
  return value;
}

async function readSecret(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read secret: ${file}, expected a readable file`, { cause });
  }
}
