import { readDrills } from '../product-api.ts';
import type { Run } from '../run.ts';

const SHOWN = 5;

/** Fires every drill at every enforced endpoint once more, after everything else, and counts all that were ever fired. */
export async function runDrills({ plane, facts, progress }: Run): Promise<void> {
  const { code, stderr } = await plane.try('drill', 'run');
  if (code !== 0) progress.note(`drill run ended with ${code}: ${stderr.trim()}`);
  const { failures, ...counts } = await readDrills(plane);
  facts.drills = counts;
  for (const failure of failures.slice(0, SHOWN)) progress.note(failure);
  progress.note(`${facts.drills.refused} of ${facts.drills.fired} drills refused at ${facts.drills.endpoints} endpoints`);
}
