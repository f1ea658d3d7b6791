import { styleText } from 'node:util';
import type { Judged } from './claims.ts';
import type { RunFacts } from './facts.ts';
import { escapeText } from './progress.ts';

/** The one JSON object of `--once --json`. Times are ISO 8601 in UTC, durations seconds, coverage fractions of 1. */
export function toJson(
  facts: RunFacts,
  judged: readonly Judged[],
  ending: { readonly sabotage: string | null; readonly failure: string | null },
): object {
  const { calls, drills, rotation, revocation, impersonation, tap, audit, checkpoints, steadiness } = facts;
  return {
    ok: judged.every(({ problem }) => problem === null) && ending.failure === null,
    sabotage: ending.sabotage,
    failure: ending.failure,
    coverage: { before: facts.coverage.before, after: facts.coverage.after, endpoints: facts.paths },
    channels: { before: facts.channelsBefore, after: facts.channelsAfter },
    exceptions: facts.exceptions,
    calls: {
      total: calls?.total ?? 0,
      failed: calls?.failed ?? 0,
      failedByBrokenCallers: calls?.expected ?? 0,
      perSecond: steadiness?.callsPerSecond ?? 0,
      fewestPerSecond: steadiness?.fewestPerSecond ?? 0,
      failures: calls?.failures ?? [],
    },
    waves: facts.waves.map((wave) => ({ ...wave, at: toIso(wave.at) })),
    holds: facts.holds.map((hold) => ({ ...hold, from: toIso(hold.from), to: hold.to === null ? null : toIso(hold.to) })),
    rollbacks: facts.rollbacks.map((rollback) => ({
      ...rollback,
      decidedAt: toIso(rollback.decidedAt),
      firstFailureAt: toIso(rollback.firstFailureAt),
      lastFailureAt: toIso(rollback.lastFailureAt),
      restoredAt: toIso(rollback.restoredAt),
    })),
    drills,
    rotation,
    revocation,
    impersonation,
    tap,
    sockets: facts.sockets,
    telemetry: facts.telemetry,
    audit: { entries: audit?.entries ?? 0, verified: audit?.verified ?? false, missing: audit?.missing ?? [], checkpoints },
    claims: judged.map(({ claim, problem }) => ({ name: claim.name, holds: problem === null, problem, sentence: claim.sentence })),
    seconds: facts.seconds,
  };
}

/** The table that a run ends with. */
export function toTable(facts: RunFacts, judged: readonly Judged[]): string {
  const width = Math.max(...judged.map(({ claim }) => claim.name.length));
  const rows = judged.map(({ claim, problem }) => {
    const mark =
      problem === null ? styleText('green', 'holds ', { stream: process.stderr }) : styleText('red', 'FAILED', { stream: process.stderr });
    return `  ${mark}  ${claim.name.padEnd(width)}  ${problem === null ? claim.sentence : escapeText(problem)}`;
  });
  return ['', ...figuresOf(facts).map(([name, value]) => `  ${name.padEnd(width + 8)}  ${value}`), '', ...rows, ''].join('\n');
}

function figuresOf(facts: RunFacts): readonly (readonly [name: string, value: string])[] {
  const { calls, coverage, drills, rotation, revocation, impersonation, tap, audit } = facts;
  return [
    ['calls', calls === null ? '–' : `${calls.total}, ${calls.failed} failed, ${calls.expected} of the broken callers`],
    ['coverage by paths', `${percent(coverage.before?.paths)} → ${percent(coverage.after?.paths)}`],
    ['coverage by calls', `${percent(coverage.before?.calls)} → ${percent(coverage.after?.calls)}`],
    ...facts.exceptions.map(({ path, kind, owner, until }) => ['exception', `${path}: ${kind}, ${owner}, until ${until}`] as const),
    ...facts.rollbacks.map(
      (rollback) => ['rolled back', `${rollback.path}, restored after ${rollback.secondsToRestore.toFixed(2)} s`] as const,
    ),
    ['drills', drills === null ? '–' : `${drills.refused} of ${drills.fired} refused, at ${drills.endpoints} endpoints`],
    [
      'rotation',
      rotation === null ? '–' : `${rotation.certificates} certificates in ${rotation.seconds.toFixed(1)} s, ${rotation.failed} failed`,
    ],
    ['revocation', revocation === null ? '–' : `${revocation.secondsToLastAcceptedCall.toFixed(2)} s to the last accepted call`],
    [
      'impersonation',
      impersonation === null
        ? '–'
        : `${impersonation.attempts} attempts, ${impersonation.succeededBefore} succeeded before, ${impersonation.succeededAfter} after`,
    ],
    ['markers on the wire', tap === null ? '–' : `${tap.markersBefore} before, ${tap.markersAfter} after`],
    ['audit log', audit === null ? '–' : `${audit.entries} entries, ${audit.verified ? 'verified' : 'NOT verified'}`],
    ['seconds', facts.seconds.toFixed(1)],
  ];
}

function percent(part: number | undefined): string {
  return part === undefined ? '–' : `${(part * 100).toFixed(1)} %`;
}

function toIso(at: number): string | null {
  return Number.isFinite(at) ? new Date(at).toISOString() : null;
}
