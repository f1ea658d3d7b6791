import { setTimeout as pause } from 'node:timers/promises';
import { openClient } from './client.ts';
import { type Run, textOption } from './command.ts';
import { orderOf } from './environment-query.ts';
import { formatTable } from './output.ts';

type DrillRun = {
  readonly runId: string;
  readonly closed: boolean;
  readonly jobs: readonly {
    readonly endpointName: string;
    readonly address: string;
    readonly verdicts: readonly { readonly kind: string; readonly proven: boolean; readonly because: string }[];
  }[];
};

/** `countersign drill run`: orders a run, waits for its verdicts, and says no if one failed. */
export const run: Run = async (invocation) => {
  const client = openClient(invocation);
  const endpoint = textOption(invocation, 'endpoint');
  const order = { ...orderOf(invocation), ...(endpoint === undefined ? {} : { endpoint }) };
  const ordered = await client.post<{ readonly runId: string }>('/v1/drills', order);
  const deadline = Date.now() + MAXIMUM_WAIT_MS;
  let state = await client.get<DrillRun>(`/v1/drills/${ordered.runId}`);
  while (!state.closed && Date.now() < deadline) {
    await pause(POLL_MS);
    state = await client.get<DrillRun>(`/v1/drills/${ordered.runId}`);
    invocation.output.progress(`${state.jobs.flatMap(({ verdicts }) => verdicts).length} verdicts`);
  }
  const rows = state.jobs.flatMap(({ endpointName, address, verdicts }) =>
    verdicts.map(({ kind, proven, because }) => [endpointName, address, kind, proven ? 'proven' : `failed: ${because}`]),
  );
  invocation.output.answer(state, () => formatTable([['endpoint', 'address', 'drill', 'verdict'], ...rows]));
  const allProven = state.closed && state.jobs.every(({ verdicts }) => verdicts.every(({ proven }) => proven));
  return allProven ? 'ok' : 'no';
};

const POLL_MS = 200;
const MAXIMUM_WAIT_MS = 120_000;
