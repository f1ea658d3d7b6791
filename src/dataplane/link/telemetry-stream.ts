import type { ClientDuplexStream } from '@grpc/grpc-js';
import {
  type TelemetryAck,
  type TelemetryReportSchema,
  TelemetryService,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { Outgoing } from '../../platform/grpc/method-definition.ts';
import type { TelemetryBuffer } from './telemetry-buffer.ts';

export const telemetryMethod = TelemetryService.method.streamTelemetry;

type Stream = ClientDuplexStream<Outgoing<typeof TelemetryReportSchema>, TelemetryAck>;

/**
 * Sends what the buffer holds, oldest first, a few reports ahead of the acknowledgements. A new stream starts again
 * at the oldest report that was not acknowledged; the control plane counts each number once.
 * The result is to be called when the buffer got more.
 */
export function runTelemetry(stream: Stream, buffer: TelemetryBuffer): () => void {
  let sent = 0n;
  let unacknowledged = 0;
  const pump = (): void => {
    while (unacknowledged < WINDOW && !stream.writableEnded && !stream.destroyed && !stream.writableNeedDrain) {
      const report = buffer.after(sent);
      if (report === null) return;
      sent = report.sequence;
      unacknowledged += 1;
      stream.write(report);
    }
  };
  stream.on('data', (ack: TelemetryAck) => {
    buffer.acknowledge(ack.sequence);
    unacknowledged = Math.max(0, unacknowledged - 1);
    pump();
  });
  stream.on('drain', pump);
  pump();
  return pump;
}

/** Reports in flight on one stream. */
const WINDOW = 8;
