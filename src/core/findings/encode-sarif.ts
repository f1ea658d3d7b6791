import { createHash } from 'node:crypto';
import { version } from '../version.ts';
import { type CheckedTarget, type CheckReport, endingOf, type ReportedFinding } from './check-report.ts';
import { postureRules, type PostureRuleId, type Severity } from './posture-rules.ts';

/** The report as SARIF 2.1.0 (OASIS), as code scanning of GitHub and GitLab read it. */
export function encodeSarif(report: CheckReport): string {
  return JSON.stringify(
    {
      $schema: 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json',
      version: '2.1.0',
      runs: [
        {
          tool: { driver: { name: 'countersign', semanticVersion: version, rules: ruleIds.map(describeRule) } },
          invocations: [
            {
              executionSuccessful: endingOf(report) !== 'unreachable',
              startTimeUtc: new Date(report.startedAt).toISOString(),
              endTimeUtc: new Date(report.endedAt).toISOString(),
              toolExecutionNotifications: [
                ...report.targets.flatMap(unreachableNotice),
                ...report.remarks.map((text) => ({ level: 'note', message: { text } })),
              ],
            },
          ],
          columnKind: 'utf16CodeUnits',
          results: report.targets.flatMap(resultsOf),
        },
      ],
    },
    null,
    2,
  );
}

function describeRule(id: PostureRuleId): object {
  const { meaning, clause, fix, severity } = postureRules[id];
  return {
    id,
    shortDescription: { text: meaning },
    fullDescription: { text: `${meaning} (${clause}).` },
    help: { text: `${fix}.` },
    defaultConfiguration: { level: levels[severity] },
    properties: { tags: ['security', 'tls'], 'security-severity': scores[severity] },
  };
}

function unreachableNotice(checked: CheckedTarget): object[] {
  if (checked.outcome.kind !== 'unreachable') return [];
  const text = `${checked.target} could not be reached: ${checked.outcome.because}`;
  return [{ level: 'error', message: { text }, locations: [locationOf(checked)] }];
}

function resultsOf(checked: CheckedTarget): object[] {
  if (checked.outcome.kind !== 'judged') return [];
  const seen = new Map<string, number>();
  return checked.outcome.findings.map((finding) => {
    // The same fault keeps its fingerprint while dates and serials in the evidence change.
    const nth = seen.get(finding.rule) ?? 0;
    seen.set(finding.rule, nth + 1);
    return {
      ruleId: finding.rule,
      ruleIndex: ruleIds.indexOf(finding.rule),
      level: levels[finding.severity],
      message: { text: `${checked.target}: ${finding.evidence} (${finding.clause}). ${finding.fix}.` },
      locations: [locationOf(checked)],
      partialFingerprints: { 'countersignFinding/v1': fingerprint(`${finding.rule}\n${checked.target}\n${nth}`) },
      ...suppressionOf(finding),
    };
  });
}

/** In the file that names the target, where one does; else its address. */
function locationOf({ target, place }: CheckedTarget): object {
  const artifact =
    place === null
      ? { artifactLocation: { uri: `tls://${target}` } }
      : { artifactLocation: { uri: encodeURI(place.file) }, region: { startLine: place.line } };
  return { physicalLocation: artifact, logicalLocations: [{ fullyQualifiedName: target, kind: 'resource' }] };
}

function suppressionOf({ standing }: ReportedFinding): object {
  if (standing.kind !== 'ignored') return {};
  return { suppressions: [{ kind: 'external', status: 'accepted', justification: standing.ignore.reason }] };
}

function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

const ruleIds = Object.keys(postureRules) as PostureRuleId[];
const levels: { readonly [S in Severity]: string } = { critical: 'error', high: 'error', medium: 'warning', low: 'note' };
/** As GitHub sorts results: over 9.0 is critical, 7.0 high, 4.0 medium. */
const scores: { readonly [S in Severity]: string } = { critical: '9.5', high: '8.0', medium: '5.5', low: '3.0' };
