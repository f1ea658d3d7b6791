import { Problem } from '../../core/problems/problem.ts';
import { decodeProblem } from '../../platform/grpc/wire-problem.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { ConnectionOptions } from './judged-credentials.ts';
import { openRpcConnection, type RpcConnection } from './rpc-connection.ts';
import { deltaMethod, runSubscriptions, type SubscriptionOptions } from './subscription.ts';
import type { TelemetryBuffer } from './telemetry-buffer.ts';
import { runTelemetry, telemetryMethod } from './telemetry-stream.ts';

export type SessionOptions = {
  readonly connection: ConnectionOptions;
  readonly subscriptions: Omit<SubscriptionOptions, 'synchronized'>;
  readonly buffer: TelemetryBuffer;
  readonly log: Log;
};

/** One connection with its two streams. When the ADS stream or the connection ends, all of it ends. */
export type LinkSession = {
  readonly connection: RpcConnection;
  /** Why it ended; never rejects. */
  readonly ended: Promise<Problem>;
  telemetryAdded(): void;
  /** Ends the streams in order, after what is under way. */
  drain(): void;
  destroy(): void;
};

/** Resolves once the control plane admitted this data plane's ADS stream. @throws control-plane-unreachable, control-plane-unverified, forbidden */
export async function openSession(options: SessionOptions): Promise<LinkSession> {
  const connection = await openRpcConnection(options.connection);
  const ended = Promise.withResolvers<Problem>();
  const admitted = Promise.withResolvers<void>();
  let draining = false;
  const discovery = connection.stream(deltaMethod);
  discovery.once('metadata', () => admitted.resolve());
  discovery.on('error', (error) => ended.resolve(decodeProblem(error)));
  discovery.on('end', () =>
    ended.resolve(new Problem('control-plane-unreachable', 'Cannot keep link: the control plane ended the stream')),
  );
  void connection.closed.then(() => ended.resolve(new Problem('control-plane-unreachable', 'Cannot keep link: the connection was closed')));
  runSubscriptions(discovery, { ...options.subscriptions, synchronized: () => options.log('debug', 'link.synchronized') });
  await Promise.race([admitted.promise, ended.promise.then((problem) => Promise.reject(problem))]).catch((error: unknown) => {
    connection.destroy();
    throw error;
  });

  let pump: (() => void) | null = null;
  let endTelemetry: (() => void) | null = null;
  const openTelemetry = (): void => {
    if (draining || !connection.isOpen) return;
    const stream = connection.stream(telemetryMethod);
    pump = runTelemetry(stream, options.buffer);
    endTelemetry = () => stream.end();
    stream.on('error', (error) => {
      const problem = decodeProblem(error);
      if (problem.code === 'telemetry-refused' || problem.code === 'input-invalid') {
        // Sent again it would be refused again, and everything behind it would wait for ever.
        options.log('error', 'link.report-refused', { sequence: String(options.buffer.dropOldest()), detail: problem.message });
        openTelemetry();
      } else if (problem.code === 'not-found') options.log('warn', 'link.telemetry-unknown', { detail: problem.message });
      else ended.resolve(problem);
    });
    stream.on('end', () => stream.end());
  };
  openTelemetry();
  void ended.promise.then(() => !draining && connection.destroy());
  return {
    connection,
    ended: ended.promise,
    telemetryAdded: () => pump?.(),
    drain() {
      draining = true;
      discovery.end();
      endTelemetry?.();
      connection.drain();
    },
    destroy() {
      draining = true;
      connection.destroy();
    },
  };
}
