import { pause, type Run } from '../run.ts';

const MEASURED_MS = 4_000;

/** Lets the plaintext fleet run; nothing of the product is there yet. */
export async function measureBefore({ timeline }: Run): Promise<void> {
  const from = Date.now();
  await pause(MEASURED_MS);
  timeline.before = { from, to: Date.now() };
}
