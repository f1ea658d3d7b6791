import { rename, rm, writeFile } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import { openClient } from './client.ts';
import { type Run, textOption, UsageError } from './command.ts';

/** `countersign external fetch`: whole or not at all, so that a server that reads the file at any moment finds a chain. */
export const run: Run = async (invocation) => {
  const [id = ''] = invocation.args;
  if (!/^order_[0-9a-z]{26}$/.test(id)) throw new UsageError('the order is no id such as order_01h8xgq8ae6p3f2a4b5c6d7e8f');
  const order = await openClient(invocation).get<{ readonly pem: string | null; readonly serial: string | null; readonly status: string }>(
    `/v1/external-orders/${id}`,
  );
  const { pem } = order;
  if (pem === null) throw new Problem('not-found', `Cannot fetch certificate: the order is ${order.status}, expected an issued one`);
  const file = textOption(invocation, 'out');
  if (file !== undefined) await replaceFile(file, pem);
  invocation.output.answer(order, () =>
    file === undefined ? pem.trimEnd().split('\n') : [`certificate ${order.serial} written to ${file}`],
  );
  return 'ok';
};

async function replaceFile(file: string, content: string): Promise<void> {
  const temporary = `${file}.new`;
  try {
    await writeFile(temporary, content, { mode: 0o644 });
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new Problem('input-invalid', `Cannot write ${file}, expected a writable directory`, { cause });
  }
}
