import { createInterface } from 'node:readline/promises';
import { Problem } from '../core/problems/problem.ts';
import { openClient } from './client.ts';
import { type Invocation, neededOption, type Run } from './command.ts';
import { formatTable } from './output.ts';
import { readTextFile } from './read-text-file.ts';

type ShownChange = {
  readonly action?: string;
  readonly change?: string;
  readonly kind: string;
  readonly environment: string;
  readonly name: string;
  readonly fields?: unknown;
};

type Difference = { readonly changes: readonly ShownChange[]; readonly objections: readonly string[] };

/** `countersign apply`: shows what would change, asks, applies. */
export const run: Run = async (invocation) => {
  const { options, output } = invocation;
  const text = await readTextFile(neededOption(invocation, 'file'));
  const client = openClient(invocation);
  const { changes, objections } = await client.post<Difference>('/v1/declarations/diff', { text });
  const refusals = objections.map((objection) => `would be refused: ${objection}`);
  if (changes.length === 0 || options['dryRun'] === true) {
    output.answer({ applied: false, changes, objections }, () => [...describe(changes), ...refusals]);
    return objections.length === 0 ? 'ok' : 'no';
  }
  for (const refusal of refusals) output.remark(refusal);
  if (options['yes'] !== true && !(await agree(invocation, changes))) {
    output.remark('not applied');
    return 'no';
  }
  const applied = await client.post<{ readonly changes: readonly ShownChange[] }>('/v1/declarations', { text });
  output.answer({ applied: true, changes: applied.changes }, () => [...describe(applied.changes), 'applied']);
  return 'ok';
};

function describe(changes: readonly ShownChange[]): string[] {
  if (changes.length === 0) return ['no difference'];
  const rows = changes.map(({ action, change, kind, environment, name, fields }) => [
    action ?? change ?? '',
    kind,
    environment,
    name,
    fields === undefined ? '' : JSON.stringify(fields),
  ]);
  return formatTable([['change', 'kind', 'environment', 'name', 'fields'], ...rows]);
}

async function agree({ output }: Invocation, changes: readonly ShownChange[]): Promise<boolean> {
  if (!process.stdin.isTTY) throw new Problem('input-invalid', 'Cannot ask: stdin is no terminal, expected --yes');
  for (const line of describe(changes)) output.remark(line);
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await asking.question(`apply ${changes.length} changes? [y/N] `);
  asking.close();
  return /^y(es)?$/i.test(answer.trim());
}
