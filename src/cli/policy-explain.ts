import { encodePem } from '../core/x509/pem.ts';
import { parseCertificateRequest } from '../core/x509/certificate-request.ts';
import { openClient } from './client.ts';
import { type Invocation, neededOption, type Run, textOption, UsageError } from './command.ts';
import { formatTable } from './output.ts';
import { readCsrFile } from './read-csr-file.ts';
import { readTextFile } from './read-text-file.ts';

type Explanation = {
  readonly profile: { readonly name: string } | null;
  readonly verdict: 'issue' | 'order' | 'wait' | 'refuse';
  readonly rules: readonly {
    readonly rule: string;
    readonly demands: string;
    readonly verdict: string;
    readonly messages: readonly string[];
  }[];
  readonly lint: readonly { readonly rule: string; readonly clause: string; readonly message: string }[];
};

/** `countersign policy explain`: what each rule says; exit code 1 unless the request would be issued or ordered. */
export const run: Run = async (invocation) => {
  const answer = await openClient(invocation).post<Explanation>('/v1/issuance/explanations', await bodyOf(invocation));
  invocation.output.answer(answer, () => describe(answer, neededOption(invocation, 'profile')));
  return answer.verdict === 'issue' || answer.verdict === 'order' ? 'ok' : 'no';
};

async function bodyOf(invocation: Invocation): Promise<object> {
  const text = (name: string): string | undefined => textOption(invocation, name);
  const csrFile = text('csr');
  const csr = csrFile === undefined ? null : await readCsrFile(csrFile);
  const asked = csr === null ? null : parseCertificateRequest(csr).subjectAltNames;
  const names = text('names')?.split(',') ?? (asked === null ? [] : [...asked.dns, ...asked.ip]);
  const [ips, dns] = [true, false].map((isIp) => names.filter((name) => /^[0-9.]+$|:/.test(name) === isIp));
  const [role, name] = [text('role'), text('asker')];
  if (name !== undefined && role === undefined) throw new UsageError('--asker without --role');
  const days = text('days');
  if (days !== undefined && !/^[1-9][0-9]{0,3}$/.test(days)) throw new UsageError(`--days ${days}, expected a number of days`);
  const file = text('file');
  const body = {
    environment: text('environment'),
    profile: neededOption(invocation, 'profile'),
    door: text('door') ?? 'rest',
    authority: text('authority'),
    asker: role === undefined ? undefined : { role, name },
    csr: csr === null ? undefined : encodePem('CERTIFICATE REQUEST', csr),
    spiffeId: text('identity') ?? asked?.uri[0],
    dnsNames: dns,
    ipAddresses: ips,
    lifetimeMs: days === undefined ? undefined : Number(days) * DAY_MS,
    text: file === undefined ? undefined : await readTextFile(file),
  };
  return body;
}

function describe({ profile, verdict, rules, lint }: Explanation, asked: string): readonly string[] {
  if (profile === null) return [`refuse: there is no profile ${asked}`];
  const rows = [
    ...rules.map((rule) => [rule.rule, rule.verdict, rule.messages.length === 0 ? rule.demands : rule.messages.join('; ')]),
    ...lint.map(({ rule, clause, message }) => [`lint ${rule}`, 'broken', `${message} (${clause})`]),
  ];
  return [...formatTable([['rule', 'verdict', 'why'], ...rows]), words[verdict]];
}

const words = {
  issue: 'it would be issued',
  order: 'the other CA would be asked',
  wait: 'it would wait until it is approved',
  refuse: 'it would be refused',
};
const DAY_MS = 86_400_000;
