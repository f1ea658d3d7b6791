import { type CheckedTarget, type CheckReport, type ReportedFinding } from './check-report.ts';
import { postureRules, type PostureRuleId } from './posture-rules.ts';

/**
 * The report as JUnit's XML: a suite for each target, a case for each rule. It keeps to what both common schemas allow, Ant's and Jenkins's; so what is
 * ignored or below the threshold passes, and stands in the suite's output.
 */
export function encodeJunit(report: CheckReport): string {
  const suites = report.targets.map((checked, id) => encodeSuite(checked, { id, startedAt: report.startedAt }));
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites>', ...suites.flat(), '</testsuites>', ''].join('\n');
}

type Case = { readonly name: string; readonly kind: 'failure' | 'error' | 'pass'; readonly message: string; readonly text: string };

function encodeSuite(checked: CheckedTarget, { id, startedAt }: { readonly id: number; readonly startedAt: number }): string[] {
  const cases = casesOf(checked);
  const count = (kind: Case['kind']): number => cases.filter((one) => one.kind === kind).length;
  const seconds = (checked.elapsedMs / 1_000).toFixed(3);
  const attributes = {
    name: checked.target,
    package: 'countersign.check',
    id: String(id),
    // Without a zone, as Ant's schema demands; it is UTC.
    timestamp: new Date(startedAt).toISOString().slice(0, 19),
    hostname: hostOf(checked.target),
    tests: String(cases.length),
    failures: String(count('failure')),
    errors: String(count('error')),
    time: seconds,
  };
  return [
    `  <testsuite${encodeAttributes(attributes)}>`,
    '    <properties>',
    `      <property${encodeAttributes({ name: 'target', value: checked.target })}/>`,
    '    </properties>',
    ...cases.flatMap((one) => encodeCase(one, checked.target)),
    `    <system-out>${escapeXml(outputOf(checked))}</system-out>`,
    '    <system-err></system-err>',
    '  </testsuite>',
  ];
}

function casesOf({ outcome, target }: CheckedTarget): readonly Case[] {
  if (outcome.kind === 'unreachable') {
    return [{ name: 'reachable', kind: 'error', message: `${target} could not be reached`, text: outcome.because }];
  }
  const failing = Map.groupBy(
    outcome.findings.filter(({ standing }) => standing.kind === 'fails'),
    ({ rule }) => rule,
  );
  const ruleIds = Object.keys(postureRules) as PostureRuleId[];
  return [
    { name: 'reachable', kind: 'pass', message: '', text: '' },
    ...ruleIds.map((name): Case => {
      const found = failing.get(name);
      if (found === undefined) return { name, kind: 'pass', message: '', text: '' };
      return {
        name,
        kind: 'failure',
        message: `${found[0]!.severity}: ${postureRules[name].meaning}`,
        text: found.map(describe).join('\n'),
      };
    }),
  ];
}

function encodeCase({ name, kind, message, text }: Case, target: string): string[] {
  const attributes = encodeAttributes({ name, classname: `countersign.check.${target}`, time: '0' });
  if (kind === 'pass') return [`    <testcase${attributes}/>`];
  return [
    `    <testcase${attributes}>`,
    `      <${kind}${encodeAttributes({ message, type: name })}>${escapeXml(text)}</${kind}>`,
    '    </testcase>',
  ];
}

function outputOf({ outcome }: CheckedTarget): string {
  if (outcome.kind === 'unreachable') return '';
  const borne = outcome.findings.filter(({ standing }) => standing.kind !== 'fails');
  return [
    ...borne.map((finding) => {
      const { standing } = finding;
      const why = standing.kind === 'ignored' ? `ignored (${standing.ignore.reason})` : 'below the threshold';
      return `${finding.severity} ${finding.rule}, ${why}: ${describe(finding)}`;
    }),
    ...outcome.gaps.map((gap) => `not learnt: ${gap}`),
  ].join('\n');
}

function describe({ evidence, clause, fix }: ReportedFinding): string {
  return `${evidence} (${clause}). ${fix}.`;
}

function hostOf(target: string): string {
  return /([^ @]*):\d+$/.exec(target)?.[1] ?? target;
}

function encodeAttributes(attributes: { readonly [name: string]: string }): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${escapeXml(value).replaceAll('\n', '&#10;')}"`)
    .join('');
}

/** XML 1.0 has no way at all to write most control characters (section 2.2). */
function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(NOT_XML, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

// oxlint-disable-next-line no-control-regex -- these are what is looked for
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]/g;
