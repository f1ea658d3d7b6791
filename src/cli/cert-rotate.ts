import { setTimeout as pause } from 'node:timers/promises';
import { type Client, openClient } from './client.ts';
import { type Invocation, type Run, textOption, UsageError } from './command.ts';
import { queryOf } from './environment-query.ts';

type Proxy = {
  readonly id: string;
  readonly certificate: { readonly serial: string } | null;
  readonly served: readonly { readonly serial: string }[];
};
type Renewal = { readonly proxies: readonly string[] };

/** `countersign cert rotate`: orders the renewal and waits until every proxy of the scope has got a new certificate. */
export const run: Run = async (invocation) => {
  const subject = readSubject(invocation);
  const client = openClient(invocation);
  const reason = textOption(invocation, 'reason');
  const startedAt = Date.now();
  const before = await newestSerials(client, invocation);
  const order = { subject, ...(reason === undefined ? {} : { reason }) };
  const { proxies } = await client.post<Renewal>(`/v1/renewals${queryOf(invocation)}`, order);
  const waiting = new Set(proxies);
  while (waiting.size > 0 && Date.now() - startedAt < MAXIMUM_WAIT_MS) {
    const now = await newestSerials(client, invocation);
    for (const id of waiting) if (now.get(id) !== undefined && now.get(id) !== before.get(id)) waiting.delete(id);
    invocation.output.progress(`${proxies.length - waiting.size} of ${proxies.length} renewed`);
    if (waiting.size > 0) await pause(POLL_MS);
  }
  const answer = {
    certificates: proxies.length - waiting.size,
    failed: waiting.size,
    seconds: (Date.now() - startedAt) / 1_000,
    missing: [...waiting],
  };
  invocation.output.answer(answer, () => [`${answer.certificates} renewed, ${answer.failed} missing, ${answer.seconds.toFixed(1)} s`]);
  return waiting.size === 0 ? 'ok' : 'no';
};

function readSubject(invocation: Invocation): { readonly kind: string; readonly name?: string } {
  const service = textOption(invocation, 'service');
  const proxy = textOption(invocation, 'proxy');
  const given = [invocation.options['all'] === true, service !== undefined, proxy !== undefined].filter(Boolean).length;
  if (given !== 1) throw new UsageError('expected exactly one of --all, --service and --proxy');
  if (service !== undefined) return { kind: 'service', name: service };
  return proxy === undefined ? { kind: 'all' } : { kind: 'proxy', name: proxy };
}

/** The newest certificate of each proxy that it also serves, as its own last report says; a proxy that serves nothing is asked for its certificate only. */
async function newestSerials(client: Client, invocation: Invocation): Promise<ReadonlyMap<string, string>> {
  const { items } = await client.get<{ readonly items: readonly Proxy[] }>(`/v1/proxies${queryOf(invocation)}`);
  return new Map(
    items.flatMap(({ id, certificate, served }): [string, string][] =>
      certificate !== null && served.every(({ serial }) => serial === certificate.serial) ? [[id, certificate.serial]] : [],
    ),
  );
}

const POLL_MS = 200;
const MAXIMUM_WAIT_MS = 120_000;
