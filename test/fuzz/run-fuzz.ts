import type { FuzzTarget } from './fuzz-target.ts';
import { makeRandom } from './random.ts';

export type FuzzReport = { readonly target: string; readonly seed: number; readonly runs: number; readonly accepted: number };

/**
 * Examines the corpus as it stands, then `runs` mutants of it, up to `MAXIMUM_STEPS` mutations each. The same seed gives the same inputs.
 * @throws Error that names target, seed, run and the input in hex, with what the target threw as its cause
 */
export function runFuzz(target: FuzzTarget, { seed, runs }: { readonly seed: number; readonly runs: number }): FuzzReport {
  let accepted = 0;
  const examine = (input: Uint8Array, run: number): void => {
    try {
      if (target.examine(input) === 'accepted') accepted++;
    } catch (cause) {
      const shown = Buffer.from(input.subarray(0, SHOWN_OCTETS)).toString('hex');
      throw new Error(`fuzz ${target.name}: seed ${seed}, run ${run}, ${input.length} octets: ${shown}`, { cause });
    }
  };
  for (const input of target.corpus) examine(input, -1);
  for (let run = 0; run < runs; run++) {
    const random = makeRandom(seed + Math.imul(run, 0x9e3779b1));
    let input = random.pick(target.corpus);
    for (let steps = 1 + random.below(MAXIMUM_STEPS); steps > 0; steps--) input = target.mutate(random, input, target.corpus);
    examine(input.subarray(0, MAXIMUM_OCTETS), run);
  }
  return { target: target.name, seed, runs, accepted };
}

/** One change finds the checks of a field, several what hides behind another check. */
const MAXIMUM_STEPS = 4;
/** Above every limit of the parsers, so that the limits are examined too. */
const MAXIMUM_OCTETS = 200_000;
const SHOWN_OCTETS = 4_096;
