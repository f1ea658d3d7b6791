import {
  Channel,
  type OpenConnections,
  Outcome,
  type PathCount,
  Side,
  type TelemetryReport,
  Unit,
} from '../../src/core/messages/generated/countersign/v1/telemetry_pb.ts';

/** Sums of all counts of an endpoint: `RECEIVER storefront MTLS CALL ACCEPTED`. */
export function countLines(reports: readonly TelemetryReport[], endpointId: string): Readonly<Record<string, number>> {
  const sums = new Map<string, number>();
  for (const count of reports.flatMap(({ counts }) => counts)) {
    if (count.endpointId !== endpointId) continue;
    sums.set(lineOf(count), (sums.get(lineOf(count)) ?? 0) + Number(count.count));
  }
  return Object.fromEntries([...sums].toSorted());
}

/** What a report says is open at an endpoint. */
export function openLines({ open }: TelemetryReport, endpointId: string): readonly string[] {
  return open.filter((one) => one.endpointId === endpointId).map((one) => `${whoseOf(one)} ${one.count}`);
}

function lineOf(count: PathCount): string {
  return [whoseOf(count), wordOf(Unit, count.unit), wordOf(Outcome, count.outcome), count.reason].filter((word) => word !== '').join(' ');
}

function whoseOf({ side, caller, channel }: Pick<OpenConnections, 'side' | 'caller' | 'channel'>): string {
  const words = [wordOf(Side, side), caller.slice(caller.lastIndexOf('/') + 1), wordOf(Channel, channel)];
  return words.filter((word) => word !== '').join(' ');
}

function wordOf(words: Readonly<Record<string, number | string>>, number: number): string {
  return Object.entries(words).find(([, value]) => value === number)?.[0] ?? '?';
}
