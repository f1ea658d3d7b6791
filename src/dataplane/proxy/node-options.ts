/**
 * What Node is told where a proxy runs (docs/decisions/short-pauses.md). V8 lets the young generation grow to 16 MiB, and whoever shakes
 * hands while it is collected waits for all that six hundred connections left behind; a quarter of it is collected in a quarter of the time,
 * and by the thread that waits for it anyway: helpers on a busy machine are waited for longer than they help.
 */
export const PROXY_NODE_OPTIONS: readonly string[] = ['--max-semi-space-size=4', '--no-parallel-scavenge'];

/** The same for a process that this one starts to be a proxy, or what whoever started this one chose instead. */
export function proxyNodeOptions({ execArgv, env }: Pick<NodeJS.Process, 'execArgv' | 'env'>): readonly string[] {
  if (execArgv.some((option) => CHOICE.test(option))) return execArgv.filter((option) => OURS.test(option));
  return CHOICE.test(env['NODE_OPTIONS'] ?? '') ? [] : PROXY_NODE_OPTIONS;
}

/** V8 takes underscores as well. */
const CHOICE = /max[-_]semi[-_]space[-_]size/;
const OURS = /max[-_]semi[-_]space[-_]size|parallel[-_]scavenge/;
