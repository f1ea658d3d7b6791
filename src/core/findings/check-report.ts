import type { Instant } from '../time/instant.ts';
import type { Finding } from './finding.ts';
import { ignoreFor, type Ignore } from './ignore.ts';
import { severities, type Severity } from './posture-rules.ts';

/** What a finding means for the outcome: `noted` is below the threshold. */
export type Standing = { readonly kind: 'fails' } | { readonly kind: 'noted' } | { readonly kind: 'ignored'; readonly ignore: Ignore };

export type ReportedFinding = Finding & { readonly standing: Standing };

/** Where a target was written down: the file as it was given, and the line from 1. */
export type TargetPlace = { readonly file: string; readonly line: number };

/** One endpoint, as it was called, and what became of it. */
export type CheckedTarget = {
  readonly target: string;
  readonly place: TargetPlace | null;
  readonly outcome:
    | { readonly kind: 'judged'; readonly findings: readonly ReportedFinding[]; readonly gaps: readonly string[] }
    | { readonly kind: 'unreachable'; readonly because: string };
  readonly elapsedMs: number;
};

export type CheckReport = {
  readonly startedAt: Instant;
  readonly endedAt: Instant;
  readonly threshold: Severity;
  readonly targets: readonly CheckedTarget[];
  /** What to put right in what was asked, such as ignores that have ended. */
  readonly remarks: readonly string[];
};

/** `findings` before `unreachable`: what is known to be wrong does not wait for what is not known. */
export type CheckEnding = 'clean' | 'findings' | 'unreachable';

export function endingOf({ targets }: Pick<CheckReport, 'targets'>): CheckEnding {
  const fails = targets.some(
    ({ outcome }) => outcome.kind === 'judged' && outcome.findings.some(({ standing }) => standing.kind === 'fails'),
  );
  if (fails) return 'findings';
  return targets.some(({ outcome }) => outcome.kind === 'unreachable') ? 'unreachable' : 'clean';
}

type StandingRules = { readonly target: string; readonly ignores: readonly Ignore[]; readonly threshold: Severity };

/** Gives each finding of a target its standing. */
export function rankFindings(now: Instant, findings: readonly Finding[], { target, ignores, threshold }: StandingRules): ReportedFinding[] {
  return findings.map((finding) => {
    const ignore = ignoreFor(now, ignores, { rule: finding.rule, target });
    if (ignore !== null) return { ...finding, standing: { kind: 'ignored', ignore } };
    const counts = severities.indexOf(finding.severity) <= severities.indexOf(threshold);
    return { ...finding, standing: { kind: counts ? 'fails' : 'noted' } };
  });
}
