import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { queryOf } from './environment-query.ts';
import { formatTable } from './output.ts';

type Item = {
  readonly environment: string;
  readonly name: string;
  readonly directoryUrl: string;
  readonly challenge: string;
  readonly allowedNames: readonly string[];
  readonly judgedBy: readonly string[];
  readonly accountUrl: string | null;
};

/** `countersign external list`. */
export const run: Run = async (invocation) => {
  const { items } = await openClient(invocation).get<{ readonly items: readonly Item[] }>(`/v1/external-authorities${queryOf(invocation)}`);
  const rows = items.map(({ environment, name, directoryUrl, challenge, allowedNames, judgedBy, accountUrl }) => [
    environment,
    name,
    directoryUrl,
    challenge,
    allowedNames.join(' '),
    judgedBy.join(' '),
    accountUrl ?? '-',
  ]);
  invocation.output.answer({ items }, () =>
    formatTable([['environment', 'name', 'directory', 'challenge', 'names', 'judged by', 'account'], ...rows]),
  );
  return 'ok';
};
