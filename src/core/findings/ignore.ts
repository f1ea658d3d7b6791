import type { Instant } from '../time/instant.ts';
import type { PostureRuleId } from './posture-rules.ts';

/** A finding that is known and borne until a day, by a reason. */
export type Ignore = {
  readonly rule: PostureRuleId;
  /** Null: of every target. */
  readonly target: string | null;
  readonly reason: string;
  /** From then on it counts again. */
  readonly until: Instant;
  /** Line of its file, from 1. */
  readonly line: number;
};

/** The first that holds now, or null. */
export function ignoreFor(
  now: Instant,
  ignores: readonly Ignore[],
  found: { readonly rule: PostureRuleId; readonly target: string },
): Ignore | null {
  return (
    ignores.find(({ rule, target, until }) => rule === found.rule && (target === null || target === found.target) && now < until) ?? null
  );
}

/** What has ended, or was for nothing, is said, so that lists of ignores do not grow old. */
export function remarksOnIgnores(now: Instant, ignores: readonly Ignore[], used: ReadonlySet<Ignore>): readonly string[] {
  return ignores.flatMap((ignore) => {
    const called = `ignore in line ${ignore.line} (${ignore.rule}${ignore.target === null ? '' : ` of ${ignore.target}`})`;
    if (now >= ignore.until) return [`${called} ended ${new Date(ignore.until).toISOString().slice(0, 10)}`];
    return used.has(ignore) ? [] : [`${called} was for nothing`];
  });
}
