import { create } from '@bufbuild/protobuf';
import { TelemetryAckSchema, type TelemetryReport, TelemetryService } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Node } from '../data-plane/peer.ts';
import { type StreamMethod, streamMethod } from '../data-plane/rpc-method.ts';
import { judgeReport, type ReportScope } from './judge-report.ts';

export type TelemetryDeps = {
  /** What this node serves and calls, and lately did: a report may tell of the settings before these. */
  readonly scopeOf: (node: Node) => Promise<ReportScope>;
  /** Durable when it resolves; a number that was counted before is not counted again. */
  readonly ingestReport: (node: Node, report: TelemetryReport, now: Instant) => Promise<void>;
  readonly clock: Clock;
};

/** Reports are taken one at a time, in order; an acknowledgement means that the report survives a power failure. */
export function telemetryMethod({ scopeOf, ingestReport, clock }: TelemetryDeps): StreamMethod {
  return streamMethod(TelemetryService.method.streamTelemetry, 'node', (stream, { node }) => ({
    async message(report) {
      judgeReport(node, await scopeOf(node), report);
      await ingestReport(node, report, clock.now());
      stream.send(create(TelemetryAckSchema, { sequence: report.sequence }));
    },
  }));
}
