import { openClient } from './client.ts';
import { type Run, textOption } from './command.ts';
import { queryOf } from './environment-query.ts';
import { formatTable } from './output.ts';
import { type ShownRequest, subjectOf } from './shown-request.ts';

/** `countersign request list`. */
export const run: Run = async (invocation) => {
  const query = queryOf(invocation, {
    status: invocation.options['all'] === true ? 'all' : undefined,
    before: textOption(invocation, 'before'),
  });
  const page = await openClient(invocation).get<{ readonly items: readonly ShownRequest[]; readonly next: string | null }>(
    `/v1/issuance-requests${query}`,
  );
  const rows = page.items.map((item) => [
    item.id,
    item.profile,
    item.authority === null ? item.door : `${item.door} ${item.authority}`,
    subjectOf(item),
    item.asker,
    item.status,
    `${item.approvers.length} of ${item.approvals.needed}`,
    new Date(item.expiresAt).toISOString(),
  ]);
  invocation.output.answer(page, () => formatTable([['id', 'profile', 'door', 'for', 'asker', 'status', 'approvals', 'expires'], ...rows]));
  if (page.next !== null) invocation.output.remark(`more: --before ${page.next}`);
  return 'ok';
};
