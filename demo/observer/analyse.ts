/** `analyse.ts DIRECTORY`: reads `events.jsonl` and `tap.jsonl` of a run and prints what they say, as JSON. Judges nothing. */
import { join } from 'node:path';
import { countCalls, countImpersonations, measureSteadiness } from './analyse-calls.ts';
import { joinCalls } from './call.ts';
import { readEvents, readMarkers, readReadableCalls } from './read-records.ts';

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('Cannot analyse: no directory is named');
const { calls, strayIds } = joinCalls(readEvents(join(directory, 'events.jsonl')));
const own = calls.filter(({ role }) => role === 'service');
const paths = [...new Map(own.map(({ caller, endpoint }) => [`${caller} ${endpoint}`, { caller, endpoint }])).values()];
const span = { from: own[0]?.begunAt ?? 0, to: own.at(-1)?.begunAt ?? 0 };
const readable = readReadableCalls(join(directory, 'tap.jsonl'));
const lastReadableAt = new Map<string, number>();
for (const call of own) if (readable.has(call.id)) lastReadableAt.set(`${call.caller} ${call.endpoint}`, call.begunAt - span.from);
console.log(
  JSON.stringify(
    {
      seconds: (span.to - span.from) / 1000,
      calls: countCalls(calls, []),
      strays: strayIds.length,
      steadiness: measureSteadiness(calls, paths, span),
      impersonations: countImpersonations(calls, span),
      lastReadableCallMs: Object.fromEntries(lastReadableAt),
      lastMarkerMs: Object.fromEntries(readMarkers(join(directory, 'tap.jsonl')).map(({ endpoint, at }) => [endpoint, at - span.from])),
    },
    null,
    2,
  ),
);
