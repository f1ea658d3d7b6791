import { openClient } from './client.ts';
import { type Run, textOption } from './command.ts';
import { queryOf } from './environment-query.ts';
import { formatTable } from './output.ts';

type Item = {
  readonly serial: string;
  readonly spiffeId: string | null;
  readonly profile: string;
  readonly door: string;
  readonly status: string;
  readonly notAfter: number | string;
};

/** `countersign cert list`. */
export const run: Run = async (invocation) => {
  const query = queryOf(invocation, {
    identity: textOption(invocation, 'identity'),
    status: textOption(invocation, 'status'),
    limit: textOption(invocation, 'limit'),
  });
  const page = await openClient(invocation).get<{ readonly items: readonly Item[]; readonly next?: string | null }>(
    `/v1/certificates${query}`,
  );
  const rows = page.items.map(({ serial, spiffeId, profile, door, status, notAfter }) => [
    serial,
    spiffeId ?? '-',
    profile,
    door,
    status,
    new Date(notAfter).toISOString(),
  ]);
  invocation.output.answer(page, () => formatTable([['serial', 'identity', 'profile', 'door', 'status', 'not after'], ...rows]));
  return 'ok';
};
