import { writeFile } from 'node:fs/promises';
import { type CheckedTarget, type CheckEnding, type CheckReport, endingOf, rankFindings } from '../core/findings/check-report.ts';
import { encodeJunit } from '../core/findings/encode-junit.ts';
import { encodeSarif } from '../core/findings/encode-sarif.ts';
import { remarksOnIgnores } from '../core/findings/ignore.ts';
import { judgePosture } from '../core/findings/judge-posture.ts';
import type { Posture } from '../core/findings/posture.ts';
import { Problem } from '../core/problems/problem.ts';
import type { Instant } from '../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../core/x509/certificate.ts';
import { scanPosture } from '../dataplane/scanner/scan-posture.ts';
import { publicAnchorsFor } from '../platform/network/public-anchors.ts';
import { type CheckPlan, planCheck } from './check-plan.ts';
import type { CheckTarget } from './check-target.ts';
import { checkText } from './check-text.ts';
import { type Invocation, type Run, textOption, UsageError } from './command.ts';
import type { ExitName } from './exit-codes.ts';

/** `countersign check`: scans endpoints from here and holds them against their policies. */
export const run: Run = async (invocation) => {
  const outputs = readOutputs(invocation);
  const format = readFormat(textOption(invocation, 'format') ?? 'text');
  const plan = await planCheck(invocation);
  const report = await checkAll(plan, (done) => invocation.output.progress(`checked ${done} of ${plan.targets.length}`));
  for (const { format, file } of outputs) await writeReport(file, formats[format](report));
  for (const remark of report.remarks) invocation.output.remark(remark);
  invocation.output.answer(report, () => formats[format](report).replace(/\n$/, '').split('\n'));
  return endings[endingOf(report)];
};

async function checkAll(plan: CheckPlan, onProgress: (done: number) => void): Promise<CheckReport> {
  const startedAt = Date.now();
  const checked: CheckedTarget[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < plan.targets.length) {
      const index = next++;
      checked[index] = await checkOne(plan, plan.targets[index]!);
      onProgress(checked.filter((one) => one !== undefined).length);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  const used = new Set(
    checked.flatMap(({ outcome }) =>
      outcome.kind !== 'judged' ? [] : outcome.findings.flatMap(({ standing }) => (standing.kind === 'ignored' ? [standing.ignore] : [])),
    ),
  );
  const endedAt = Date.now();
  return { startedAt, endedAt, threshold: plan.threshold, targets: checked, remarks: remarksOnIgnores(endedAt, plan.ignores, used) };
}

async function checkOne(plan: CheckPlan, target: CheckTarget): Promise<CheckedTarget> {
  const startedAt = performance.now();
  const { name, place, host, port, serverName, speech } = target;
  const posture = await scanPosture({ host, port, serverName, speech, credential: plan.credential });
  return {
    target: name,
    place,
    outcome: outcomeOf(Date.now(), posture, { plan, target }),
    elapsedMs: Math.round(performance.now() - startedAt),
  };
}

type Held = { readonly plan: CheckPlan; readonly target: CheckTarget };

function outcomeOf(now: Instant, posture: Posture, { plan, target }: Held): CheckedTarget['outcome'] {
  if (posture.kind === 'unreachable') return posture;
  const { policy, identity, clientCertificate, anchors } = target;
  const findings = judgePosture(now, posture, {
    policy,
    identity,
    clientCertificate,
    anchors: anchors === 'public' ? publicAnchorsOf(posture) : anchors,
    expiresWithinMs: plan.expiresWithinMs,
  });
  const gaps = posture.kind === 'tls' ? posture.gaps : [];
  return {
    kind: 'judged',
    findings: rankFindings(now, findings, { target: target.name, ignores: plan.ignores, threshold: plan.threshold }),
    gaps,
  };
}

/** Of the public roots those that these chains could lead to. */
function publicAnchorsOf(posture: Posture): readonly Certificate[] {
  if (posture.kind !== 'tls') return [];
  return publicAnchorsFor(posture.chains.flatMap(({ certificates }) => certificates.flatMap((der) => readCertificate(der) ?? [])));
}

function readCertificate(der: Uint8Array): Certificate | null {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

type Format = 'text' | 'json' | 'sarif' | 'junit';

const formats: { readonly [F in Format]: (report: CheckReport) => string } = {
  text: checkText,
  json: (report) => JSON.stringify(report),
  sarif: encodeSarif,
  junit: encodeJunit,
};

function readFormat(text: string): Format {
  if (!Object.hasOwn(formats, text)) throw new UsageError(`--format ${text}, expected ${Object.keys(formats).join(', ')}`);
  return text as Format;
}

/** `sarif=FILE,junit=FILE`. */
function readOutputs(invocation: Invocation): readonly { readonly format: Format; readonly file: string }[] {
  const text = textOption(invocation, 'output');
  if (text === undefined) return [];
  return text.split(',').map((item) => {
    const at = item.indexOf('=');
    if (at < 1 || at === item.length - 1) throw new UsageError(`--output ${item}, expected FORMAT=FILE`);
    return { format: readFormat(item.slice(0, at)), file: item.slice(at + 1) };
  });
}

async function writeReport(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot write report: ${file}, expected a file that can be written`, { cause });
  });
}

const endings: { readonly [E in CheckEnding]: ExitName } = { clean: 'ok', findings: 'no', unreachable: 'unreachable' };
/** Each has a few connections open at a time. */
const CONCURRENCY = 8;
