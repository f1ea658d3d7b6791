import { openClient } from './client.ts';
import { type Run, textOption } from './command.ts';
import { queryOf } from './environment-query.ts';
import { formatTable } from './output.ts';

type Entry = {
  readonly leafIndex: number;
  readonly at: number;
  readonly type: string;
  readonly environment: string;
  readonly actor: string;
  readonly leaf: string;
  readonly persons: { readonly [hash: string]: string };
};

/** `countersign audit search`. */
export const run: Run = async (invocation) => {
  const query = queryOf(invocation, {
    type: textOption(invocation, 'type'),
    person: textOption(invocation, 'person'),
    contains: textOption(invocation, 'contains'),
    limit: textOption(invocation, 'limit'),
  });
  const page = await openClient(invocation).get<{ readonly items: readonly Entry[]; readonly next: number | null }>(
    `/v1/audit/entries${query}`,
  );
  const rows = page.items.map(({ leafIndex, at, type, environment, actor, leaf, persons }) => [
    String(leafIndex),
    new Date(at).toISOString(),
    type,
    environment,
    actor,
    nameAgain(JSON.stringify((JSON.parse(leaf) as { readonly data: unknown }).data), persons),
  ]);
  invocation.output.answer(page, () => formatTable([['leaf', 'at', 'type', 'environment', 'actor', 'data'], ...rows]));
  return 'ok';
};

/** The leaf holds hashes; the server says whose they are as long as it knows. */
function nameAgain(data: string, persons: Entry['persons']): string {
  return data.replaceAll(/"person":"([0-9a-f]{64})"/g, (hidden, hash: string) =>
    persons[hash] === undefined ? hidden : `"person":${JSON.stringify(persons[hash])}`,
  );
}
