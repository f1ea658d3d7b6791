import { create } from '@bufbuild/protobuf';
import type { ReportSender } from '../../control/telemetry/admit-report.ts';
import type { IngestResult } from '../../control/telemetry/ingest-report.ts';
import { TelemetryAckSchema, type TelemetryReport, TelemetryService } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { type StreamMethod, streamMethod } from '../data-plane/rpc-method.ts';
import { Violation } from '../data-plane/violation.ts';

export type TelemetryDeps = {
  /** `ingestReport` of control/telemetry with its ingest. */
  readonly ingest: (sender: ReportSender, report: TelemetryReport, now: Instant) => Promise<IngestResult>;
  readonly clock: Clock;
};

/**
 * Reports are taken one at a time, in order; an acknowledgement means that the report survives a power failure. Of a report about
 * what the sender neither serves nor calls, the rest is kept and counted, and the sender is refused: it broke its bounds.
 */
export function telemetryMethod({ ingest, clock }: TelemetryDeps): StreamMethod {
  return streamMethod(TelemetryService.method.streamTelemetry, 'node', (stream, { node }) => ({
    async message(report) {
      judgeSizes(report);
      if (report.drills.length > 0 && !node.isProbe) throw new Violation('foreign-report', 'drill results');
      const { refused } = await ingest(node, report, clock.now());
      const [first] = refused;
      if (first !== undefined) throw new Violation('foreign-path', `${first.part} of ${JSON.stringify(first.endpointId.slice(0, 60))}`);
      stream.send(create(TelemetryAckSchema, { sequence: report.sequence }));
    },
  }));
}

/** @throws input-invalid */
function judgeSizes(report: TelemetryReport): void {
  for (const [name, limit] of Object.entries(LIMITS) as [keyof typeof LIMITS, number][]) {
    if (report[name].length > limit) {
      throw new Problem('input-invalid', `Cannot take report: ${report[name].length} ${name}, expected at most ${limit}`);
    }
  }
}

/** A window of a busy gateway has some hundred counts; what is refused here would cost the store seconds. */
const LIMITS = { bootId: 64, counts: 10_000, open: 10_000, refusals: 1_000, served: 10_000, drills: 1_000 } as const;
