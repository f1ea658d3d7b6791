import { setTimeout as pause } from 'node:timers/promises';
import { encodePem } from '../core/x509/pem.ts';
import { type Client, openClient, ServerRefusal } from './client.ts';
import { neededOption, type Run, textOption, UsageError } from './command.ts';
import { readCsrFile } from './read-csr-file.ts';
import { type ShownRequest, standingOf } from './shown-request.ts';
import { reserveOut } from './write-secret.ts';

type Order = {
  readonly id: string;
  readonly status: string;
  readonly detail: string | null;
  readonly pem?: string | null;
  readonly serial: string | null;
};

/** `countersign external order`; exit code 1 if somebody has to approve first. */
export const run: Run = async (invocation) => {
  const csr = await readCsrFile(neededOption(invocation, 'csr'));
  const minutes = Number(textOption(invocation, 'wait') ?? 5);
  if (!(minutes >= 0 && minutes <= LONGEST_WAIT_MINUTES))
    throw new UsageError(`--wait is no number of minutes up to ${LONGEST_WAIT_MINUTES}`);
  const authority = neededOption(invocation, 'authority');
  const given = Object.entries({
    environment: textOption(invocation, 'environment'),
    profile: textOption(invocation, 'profile'),
    endpoint: textOption(invocation, 'endpoint'),
    renews: textOption(invocation, 'renews')?.toLowerCase(),
  }).filter(([, value]) => value !== undefined);
  const client = openClient(invocation);
  await using out = await reserveOut(invocation);
  const order = { authority, csr: encodePem('CERTIFICATE REQUEST', csr), ...Object.fromEntries(given) };
  const asked = await client.post<Order | { readonly request: ShownRequest }>('/v1/external-orders', order);
  if ('request' in asked) {
    invocation.output.answer(asked, () => [standingOf(asked.request)]);
    return 'no';
  }
  invocation.output.remark(`order ${asked.id}`);
  const end = await waitFor(client, asked, performance.now() + minutes * 60_000);
  if (end.status === 'failed')
    throw new ServerRefusal('issuance-refused', `Cannot get certificate: ${end.detail ?? 'the CA gives no reason'}`);
  if (end.pem != null) await out?.write(end.pem);
  invocation.output.answer(end, () => {
    if (end.pem == null) return [`${end.id} is ${end.status}${end.detail === null ? '' : `: ${end.detail}`}`];
    return out === null
      ? end.pem.trimEnd().split('\n')
      : [`certificate ${end.serial} written to ${out.file}; later ones: external fetch ${end.id}`];
  });
  return 'ok';
};

async function waitFor(client: Client, asked: Order, until: number): Promise<Order> {
  let order = asked;
  while (order.status !== 'issued' && order.status !== 'failed' && performance.now() < until) {
    await pause(PAUSE_MS);
    order = await client.get<Order>(`/v1/external-orders/${asked.id}`);
  }
  return order;
}

const PAUSE_MS = 500;
const LONGEST_WAIT_MINUTES = 1_440;
