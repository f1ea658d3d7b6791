import { readFileSync } from 'node:fs';
import { type CallEvent, parseCallEvent } from './call-event.ts';

/** All events of the observer's file, in the order in which they were written. */
export function readEvents(file: string): CallEvent[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => parseCallEvent(line) ?? []);
}

/** What the tap wrote, as far as the observer needs it: the ids of calls that passed readable. */
export function readReadableCalls(file: string): Set<string> {
  const ids = new Set<string>();
  for (const record of readTap(file)) for (const id of record.callIds ?? []) ids.add(id);
  return ids;
}

/** One moment at which the run's marker passed an endpoint readable. */
export type MarkerSighting = { readonly at: number; readonly endpoint: string; readonly count: number };

export function readMarkers(file: string): MarkerSighting[] {
  return readTap(file).flatMap(({ kind, at, endpoint, count }) => (kind === 'marker' ? [{ at, endpoint, count: count ?? 0 }] : []));
}

type TapLine = {
  readonly kind: string;
  readonly at: number;
  readonly endpoint: string;
  readonly count?: number;
  readonly callIds?: readonly string[];
};

function readTap(file: string): TapLine[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as TapLine);
}
