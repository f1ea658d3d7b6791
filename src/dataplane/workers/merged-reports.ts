import type {
  OpenConnections,
  PathCount,
  ReplicaCount,
  ServedCertificate,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { mergeCounts, mergeReplicas, type TelemetryContent } from '../link/telemetry-buffer.ts';
import { KeptRefusals } from '../tls/kept-refusals.ts';

/** Every field of a report but those of its sender, so that none that comes new is lost on the way. */
type Merged = Required<Omit<TelemetryContent, 'windowStartMs' | 'windowEndMs' | 'drills'>>;

/** Makes one report of what several processes of a proxy measured: what happened is added up, what is in force is what all have in force. */
export class MergedReports {
  /** What was last said to be open, so that the connections of a worker that died do not stay open in somebody's books. */
  #open = new Map<string, OpenConnections>();

  merge(parts: readonly TelemetryContent[]): Merged {
    const counts: PathCount[] = [];
    for (const part of parts) mergeCounts(counts, part.counts ?? []);
    const replicas: ReplicaCount[] = [];
    for (const part of parts) mergeReplicas(replicas, part.replicas ?? []);
    const refusals = new KeptRefusals();
    for (const part of parts) refusals.dropped += part.refusalsDropped ?? 0n;
    // By turns, so that what one worker saw leaves room for the others.
    const longest = Math.max(0, ...parts.map((part) => part.refusals?.length ?? 0));
    for (let turn = 0; turn < longest; turn++) {
      for (const part of parts) {
        const refusal = part.refusals?.[turn];
        if (refusal !== undefined) refusals.add(refusal);
      }
    }
    return {
      counts,
      replicas,
      refusals: refusals.list,
      refusalsDropped: refusals.dropped,
      open: this.#addUpOpen(parts),
      served: servedByAll(parts),
      revokedSequence: least(parts.map(({ revokedSequence = 0n }) => revokedSequence)),
      generation: least(parts.map(({ generation = 0n }) => generation)),
    };
  }

  #addUpOpen(parts: readonly TelemetryContent[]): OpenConnections[] {
    const sums = new Map<string, OpenConnections>();
    for (const [key, gauge] of this.#open) if (gauge.count > 0) sums.set(key, { ...gauge, count: 0 });
    for (const gauge of parts.flatMap(({ open = [] }) => open)) {
      const key = `${gauge.side} ${gauge.endpointId} ${gauge.caller} ${gauge.channel}`;
      const known = sums.get(key);
      if (known === undefined) sums.set(key, { ...gauge });
      else known.count += gauge.count;
    }
    this.#open = sums;
    return [...sums.values()];
  }
}

/** While workers differ nothing is said of an endpoint: what was served before stays true of the last of them. */
function servedByAll(parts: readonly TelemetryContent[]): ServedCertificate[] {
  const served = Map.groupBy(
    parts.flatMap((part) => part.served ?? []),
    ({ endpointId }) => endpointId,
  );
  return [...served.values()].filter((all) => new Set(all.map(certificateOf)).size === 1).map(([first]) => first!);
}

function certificateOf({ issuerKeySha256, serial }: ServedCertificate): string {
  return `${Buffer.from(issuerKeySha256).toString('hex')} ${Buffer.from(serial).toString('hex')}`;
}

function least(values: readonly bigint[]): bigint {
  return values.reduce((lowest, value) => (value < lowest ? value : lowest), values[0] ?? 0n);
}
