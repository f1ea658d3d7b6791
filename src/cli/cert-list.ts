import { openClient } from './client.ts';
import { type Invocation, type Run, textOption, UsageError } from './command.ts';
import { csvLine } from './csv-line.ts';
import { queryOf } from './environment-query.ts';
import { readMoment } from './read-moment.ts';
import { formatTable } from './output.ts';

type Item = {
  readonly serial: string;
  readonly spiffeId: string | null;
  readonly names: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly profile: string;
  readonly door: string;
  readonly environment: string;
  readonly status: string;
  readonly revokedAt: number | null;
  readonly revocationReason: string | null;
  readonly reservedAt: number;
  readonly notAfter: number;
  readonly asker: string | null;
  readonly served: readonly {
    readonly proxy: string | null;
    readonly proxyId: string;
    readonly endpoint: string | null;
    readonly endpointId: string;
  }[];
  /** Of another CA: what the watch found. */
  readonly watch?: { readonly finding: string };
  /** Of another CA that was asked to revoke it and has not. */
  readonly revocation?: { readonly status: 'asked' | 'failed' };
};
type Page = { readonly items: readonly Item[]; readonly next?: string | null };

/** `countersign cert list`. */
export const run: Run = async (invocation) => {
  const format = textOption(invocation, 'format') ?? 'table';
  if (format !== 'table' && format !== 'csv') throw new UsageError(`--format ${format}, expected table or csv`);
  const page = await openClient(invocation).get<Page>(`/v1/certificates${queryOf(invocation, filterOf(invocation))}`);
  invocation.output.answer(page, () => (format === 'csv' ? csvOf(page.items) : tableOf(page.items)));
  if (page.next != null) invocation.output.remark(`more: --before ${page.next}`);
  return 'ok';
};

function filterOf(invocation: Invocation): { readonly [name: string]: string | undefined } {
  const text = (name: string): string | undefined => textOption(invocation, name);
  return {
    identity: text('identity'),
    service: text('service'),
    asker: text('asker'),
    served: text('served'),
    endsBefore: readMoment(invocation, 'expiringBefore')?.toString(),
    name: text('name'),
    serial: text('serial')?.toLowerCase(),
    key: text('key'),
    profile: text('profile'),
    door: text('door'),
    issuer: text('issuer'),
    status: text('status'),
    from: readMoment(invocation, 'from')?.toString(),
    until: readMoment(invocation, 'until')?.toString(),
    before: text('before'),
    limit: text('limit'),
  };
}

function tableOf(items: readonly Item[]): readonly string[] {
  const rows = items.map((item) => [
    item.serial,
    item.spiffeId ?? '-',
    [...item.names.dns, ...item.names.ip].join(' ') || '-',
    item.profile,
    item.door,
    statusOf(item),
    new Date(item.notAfter).toISOString(),
    servedAt(item) || '-',
  ]);
  return formatTable([['serial', 'identity', 'names', 'profile', 'door', 'status', 'not after', 'served at'], ...rows]);
}

function csvOf(items: readonly Item[]): readonly string[] {
  const rows = items.map((item) => [
    item.serial,
    item.spiffeId ?? '',
    [...item.names.dns, ...item.names.ip].join(' '),
    item.environment,
    item.profile,
    item.door,
    statusOf(item),
    new Date(item.reservedAt).toISOString(),
    new Date(item.notAfter).toISOString(),
    item.revokedAt === null ? '' : new Date(item.revokedAt).toISOString(),
    item.revocationReason ?? '',
    item.asker ?? '',
    servedAt(item),
  ]);
  return [CSV_HEADING, ...rows.map(csvLine)];
}

/** Each endpoint with the proxy that serves it there. */
function servedAt({ served }: Item): string {
  return served.map(({ proxy, proxyId, endpoint, endpointId }) => `${endpoint ?? endpointId}@${proxy ?? proxyId}`).join(' ');
}

/** What was found of a certificate of another CA stands behind its status. */
function statusOf({ status, revokedAt, watch, revocation }: Item): string {
  const found = watch !== undefined && watch.finding !== 'none' ? [watch.finding] : [];
  const asked = revocation === undefined ? [] : [`revocation ${revocation.status}`];
  if (found.length + asked.length > 0) return [status, ...found, ...asked].join(', ');
  return revokedAt === null ? status : 'revoked';
}

const CSV_HEADING = 'serial,identity,names,environment,profile,door,status,issuedAt,notAfter,revokedAt,revocationReason,asker,servedAt';
