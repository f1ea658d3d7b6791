import { openClient } from './client.ts';
import { type Run, textOption, UsageError } from './command.ts';
import { formatTable } from './output.ts';
import { readTextFile } from './read-text-file.ts';

type Difference = {
  readonly serial: string;
  readonly profile: string;
  readonly door: string;
  readonly spiffeId: string | null;
  readonly names: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly verdict: string;
  readonly reasons: readonly { readonly rule: string; readonly message: string }[];
  readonly changes: readonly { readonly field: string; readonly before: string; readonly after: string }[];
};
type Page = { readonly judged: number; readonly items: readonly Difference[]; readonly next: string | null };

/** `countersign policy replay`: what the last certificates would have got; exit code 1 if any would have been refused. */
export const run: Run = async (invocation) => {
  const last = Number(textOption(invocation, 'last') ?? '1000');
  if (!Number.isInteger(last) || last < 1 || last > MAXIMUM) throw new UsageError(`--last, expected a number from 1 to ${MAXIMUM}`);
  const [file, environment, profile] = ['file', 'environment', 'profile'].map((name) => textOption(invocation, name));
  const text = file === undefined ? undefined : await readTextFile(file);
  const client = openClient(invocation);
  const items: Difference[] = [];
  let [judged, looked, before] = [0, 0, textOption(invocation, 'before')];
  while (looked < last) {
    const limit = Math.min(PAGE, last - looked);
    const page = await client.post<Page>('/v1/issuance/replays', { environment, profile, text, limit, before });
    items.push(...page.items);
    judged += page.judged;
    looked += limit;
    before = page.next ?? undefined;
    invocation.output.progress(`${judged} judged, ${items.length} differ`);
    if (before === undefined) break;
  }
  const answer = { judged, items, next: before ?? null };
  invocation.output.answer(answer, () => describe(judged, items));
  if (before !== undefined) invocation.output.remark(`more: --before ${before}`);
  return items.some(({ verdict }) => verdict === 'refused') ? 'no' : 'ok';
};

function describe(judged: number, items: readonly Difference[]): readonly string[] {
  const rows = items.map(({ serial, spiffeId, names, profile, door, verdict, reasons, changes }) => [
    serial,
    spiffeId ?? [...names.dns, ...names.ip].join(' '),
    profile,
    door,
    verdict,
    [
      ...reasons.map(({ rule, message }) => `${rule}: ${message}`),
      ...changes.map((change) => `${change.field}: ${change.before} → ${change.after}`),
    ].join('; '),
  ]);
  const table = rows.length === 0 ? [] : formatTable([['serial', 'for', 'profile', 'door', 'verdict', 'why'], ...rows]);
  return [...table, `${judged} judged, ${items.length} would differ`];
}

const PAGE = 500;
/** A replay says where it stopped; more is a matter of going on. */
const MAXIMUM = 100_000;
