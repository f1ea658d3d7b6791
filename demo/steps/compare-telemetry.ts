import { readReceivedCalls } from '../product-api.ts';
import { pause, type Run } from '../run.ts';

/** Reports are at most this late. */
const LAG_MS = 2_500;
const LONGEST_WINDOW_MS = 20_000;

/** Asks for the calls that receivers counted since the waves ended; the observer's file tells later how many there were. */
export async function compareTelemetry({ plane, facts, timeline }: Run): Promise<void> {
  await pause(LAG_MS);
  const to = toWholeSeconds(Date.now() - LAG_MS);
  const from = toWholeSeconds(Math.max(timeline.after?.from ?? 0, to - LONGEST_WINDOW_MS) + 1_000);
  timeline.compared = { from, to };
  facts.telemetry = { observed: 0, counted: await readReceivedCalls(plane, { from, to }) };
}

function toWholeSeconds(at: number): number {
  return Math.floor(at / 1_000) * 1_000;
}
