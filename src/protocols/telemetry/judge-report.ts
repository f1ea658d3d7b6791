import { type PathCount, Side, type TelemetryReport } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Node } from '../data-plane/peer.ts';
import { Violation } from '../data-plane/violation.ts';

/** The endpoints by id that a data plane may speak of, each on its own side. */
export type ReportScope = { readonly serves: ReadonlySet<string>; readonly calls: ReadonlySet<string> };

/**
 * Returns if this node may send this report: bounded, and only about what it serves or calls itself. Words that this release
 * does not know are not judged here: a newer data plane may have them, and `control/telemetry` leaves them out one by one.
 * @throws input-invalid past a limit; Violation (telemetry-refused) for foreign endpoints and for what only the probe measures
 */
export function judgeReport(node: Node, scope: ReportScope, report: TelemetryReport): void {
  for (const [name, limit] of Object.entries(LIMITS) as [keyof typeof LIMITS, number][]) {
    if (report[name].length > limit) {
      throw new Problem('input-invalid', `Cannot take report: ${report[name].length} ${name}, expected at most ${limit}`);
    }
  }
  for (const count of report.counts) judgeSide(node, scope, count);
  for (const open of report.open) judgeSide(node, scope, open);
  for (const { endpointId } of [...report.refusals, ...report.served]) {
    if (!scope.serves.has(endpointId)) throw foreign(endpointId);
  }
  if (report.drills.length > 0 && !node.isProbe) throw new Violation('foreign-report', 'drill results');
}

/** A caller speaks of itself; a receiver of whoever proved a name to it. */
function judgeSide(node: Node, scope: ReportScope, { side, endpointId, caller }: Pick<PathCount, 'side' | 'endpointId' | 'caller'>): void {
  const own = side === Side.CALLER ? scope.calls : scope.serves;
  if (!own.has(endpointId)) throw foreign(endpointId);
  if (side === Side.CALLER && caller !== '' && caller !== node.spiffeId)
    throw new Violation('foreign-path', 'it counts calls of another caller');
}

function foreign(endpointId: string): Violation {
  return new Violation('foreign-path', JSON.stringify(endpointId.slice(0, 60)));
}

/** A window of a busy gateway has some hundred counts; what is refused here would cost the store seconds. */
const LIMITS = { bootId: 64, counts: 10_000, open: 10_000, refusals: 1_000, served: 10_000, drills: 1_000 } as const;
