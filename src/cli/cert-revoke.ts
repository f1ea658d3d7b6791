import { type Client, openClient } from './client.ts';
import { type Invocation, type Run, textOption, UsageError } from './command.ts';
import { formatTable } from './output.ts';
import { readMoment } from './read-moment.ts';

type Answer = {
  readonly count: number;
  readonly more: boolean;
  readonly items: readonly {
    readonly serial: string;
    readonly spiffeId: string | null;
    readonly names: { readonly dns: readonly string[]; readonly ip: readonly string[] };
    readonly profile: string;
    readonly notAfter: number;
  }[];
  /** Of other CAs. */
  readonly others: Pick<Answer, 'count' | 'more' | 'items'>;
  readonly revoked: number;
  readonly asked: number;
  readonly left: boolean;
  readonly revokedSequence: number | null;
};

/** `countersign cert revoke SERIAL`, or by criteria: first says what, then does it a round at a time. */
export const run: Run = async (invocation) => {
  const [serial] = invocation.args;
  const selection = selectionOf(invocation);
  const dryRun = invocation.options['dryRun'] === true;
  const client = openClient(invocation);
  if (serial !== undefined && !dryRun) return revokeOne(client, invocation, serial, Object.keys(selection));
  const body = { ...selection, ...(serial === undefined ? {} : { serial }) };
  if (Object.keys(body).every((name) => name === 'environment')) throw new UsageError('a serial or a criterion is missing');
  const plan = await client.post<Answer>('/v1/revocations', { ...body, dryRun: true });
  if (dryRun) {
    invocation.output.answer(plan, () => describe(plan));
    return 'ok';
  }
  invocation.output.remark(`revoking ${counted(plan)}, and ${counted(plan.others)} of other CAs`);
  const reason = textOption(invocation, 'reason') ?? 'unspecified';
  let [revoked, asked] = [0, 0];
  let round: Answer;
  do {
    round = await client.post<Answer>('/v1/revocations', { ...body, reason });
    revoked += round.revoked;
    asked += round.asked;
    invocation.output.progress(`${revoked} revoked`);
  } while (round.left && round.revoked + round.asked > 0);
  const answer = { revoked, asked, left: round.left, revokedSequence: round.revokedSequence };
  const ofOthers = asked === 0 ? [] : [`${asked} of other CAs: they are asked; cert list says when they have revoked them`];
  invocation.output.answer(answer, () => [`${revoked} revoked`, ...ofOthers]);
  return 'ok';
};

async function revokeOne(client: Client, invocation: Invocation, serial: string, others: readonly string[]): ReturnType<Run> {
  const surplus = others.filter((name) => name !== 'issuer' && name !== 'environment');
  if (surplus.length > 0) throw new UsageError(`a serial beside ${surplus.join(', ')}, expected one or the other`);
  const issuer = textOption(invocation, 'issuer');
  const body = { reason: textOption(invocation, 'reason') ?? 'unspecified', ...(issuer === undefined ? {} : { issuer }) };
  const answer = await client.post<{ readonly status?: string }>(`/v1/certificates/${encodeURIComponent(serial)}/revocation`, body);
  invocation.output.answer(answer, () => [
    answer.status === undefined ? `${serial} revoked` : `${serial}: its CA is asked; cert list says when it has revoked it`,
  ]);
  return 'ok';
}

function selectionOf(invocation: Invocation): { readonly [name: string]: string | number } {
  const texts = ['environment', 'identity', 'service', 'name', 'key', 'profile', 'door', 'issuer'];
  const given: readonly (readonly [string, string | number | undefined])[] = [
    ...texts.map((name) => [name, textOption(invocation, name)] as const),
    ...['from', 'until'].map((name) => [name, readMoment(invocation, name)] as const),
  ];
  return Object.fromEntries(given.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])));
}

function describe(plan: Answer): readonly string[] {
  const { others } = plan;
  const ofOthers = others.count === 0 ? [] : section('of other CAs, which would be asked', others);
  return [...section('would be revoked', plan), ...ofOthers];
}

function section(what: string, plan: Answer['others']): readonly string[] {
  const { count, items } = plan;
  const rows = items.map(({ serial, spiffeId, names, profile, notAfter }) => [
    serial,
    spiffeId ?? ([...names.dns, ...names.ip].join(' ') || '-'),
    profile,
    new Date(notAfter).toISOString(),
  ]);
  const head = `${counted(plan)} ${what}${items.length < count ? `; the newest ${items.length}:` : ''}`;
  return [head, ...(rows.length === 0 ? [] : formatTable([['serial', 'for', 'profile', 'not after'], ...rows]))];
}

function counted({ count, more }: Pick<Answer, 'count' | 'more'>): string {
  return more ? `more than ${count}` : String(count);
}
