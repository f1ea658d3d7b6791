import { relative } from 'node:path';

/** The test files that took longest, by the top-level tests that `endings-reporter` wrote down: `12.3 s path`, longest first. Tests of one file add up. */
export function slowestFiles(reports: readonly string[], root: string, count: number): readonly string[] {
  const seconds = new Map<string, number>();
  for (const report of reports) {
    let inner: string | null = null;
    for (const line of report.split('\n').filter(Boolean)) {
      const [nesting, duration, path] = line.split('\t');
      if (path === '') continue;
      // Subtests come before what they belong to.
      if (nesting !== '0') {
        inner = path!;
        continue;
      }
      // A group that a support file opens, once a database, is its tests'.
      const file = relative(root, inner ?? path!);
      inner = null;
      seconds.set(file, (seconds.get(file) ?? 0) + Number(duration) / 1_000);
    }
  }
  return [...seconds]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([file, took]) => `${took.toFixed(1)} s ${file}`);
}
