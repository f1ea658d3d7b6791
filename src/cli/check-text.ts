import { type CheckedTarget, type CheckReport, endingOf, type ReportedFinding } from '../core/findings/check-report.ts';

/** The report for people. */
export function checkText(report: CheckReport): string {
  const failing = report.targets.flatMap(({ outcome }) =>
    outcome.kind === 'judged' ? outcome.findings.filter(({ standing }) => standing.kind === 'fails') : [],
  );
  const away = report.targets.filter(({ outcome }) => outcome.kind === 'unreachable').length;
  const parts = [
    `${report.targets.length} checked`,
    `${failing.length} findings of ${report.threshold} or worse`,
    ...(away === 0 ? [] : [`${away} not reached`]),
  ];
  return [...report.targets.flatMap(describeTarget), `${endingOf(report)}: ${parts.join(', ')}`].join('\n');
}

function describeTarget({ target, outcome }: CheckedTarget): readonly string[] {
  if (outcome.kind === 'unreachable') return [`${target}: not reached (${outcome.because})`];
  if (outcome.findings.length === 0 && outcome.gaps.length === 0) return [`${target}: clean`];
  return [`${target}:`, ...outcome.findings.flatMap(describeFinding), ...outcome.gaps.map((gap) => `  not learnt: ${gap}`)];
}

function describeFinding({ rule, severity, evidence, clause, fix, standing }: ReportedFinding): readonly string[] {
  const line = `  ${severity.padEnd(8)} ${rule}: ${evidence}`;
  if (standing.kind === 'ignored')
    return [`${line} (ignored until ${new Date(standing.ignore.until).toISOString().slice(0, 10)}: ${standing.ignore.reason})`];
  return standing.kind === 'noted' ? [line] : [line, `           ${clause}. ${fix}`];
}
