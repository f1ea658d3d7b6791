import { create } from '@bufbuild/protobuf';
import {
  type PathCount,
  type ReplicaCount,
  type TelemetryReport,
  TelemetryReportSchema,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';

/** What a data plane measured in one window; the buffer adds who sent it and the number. */
export type TelemetryContent = Partial<Omit<TelemetryReport, '$typeName' | '$unknown' | 'bootId' | 'sequence'>>;

/**
 * Reports that were not acknowledged yet, in order, numbered without gaps. When it is full, a new window is added to the last
 * report that was never sent: counts are never lost, only their windows grow. What cannot be added up is bounded and counted.
 */
export class TelemetryBuffer {
  readonly #bootId: string;
  readonly #capacity: number;
  readonly #reports: TelemetryReport[] = [];
  readonly #awaiting = new Set<() => void>();
  #next = 1n;
  /** Highest sequence that was handed to any stream: such a report may not change any more. */
  #handedOut = 0n;

  constructor(bootId: string, capacity = DEFAULT_CAPACITY) {
    this.#bootId = bootId;
    this.#capacity = Math.max(2, capacity);
  }

  get size(): number {
    return this.#reports.length;
  }

  add(content: TelemetryContent): void {
    const last = this.#reports.at(-1);
    if (last !== undefined && this.#reports.length >= this.#capacity && last.sequence > this.#handedOut) {
      mergeReport(last, content);
      return;
    }
    const report = create(TelemetryReportSchema, { bootId: this.#bootId, sequence: this.#next });
    mergeReport(report, content);
    this.#reports.push(report);
    this.#next += 1n;
  }

  /** The first report after this sequence, or null; it is handed out and stays as it is from now on. */
  after(sequence: bigint): TelemetryReport | null {
    const report = this.#reports.find((candidate) => candidate.sequence > sequence) ?? null;
    if (report !== null && report.sequence > this.#handedOut) this.#handedOut = report.sequence;
    return report;
  }

  /** Forgets everything up to this sequence: the other side has it on disk. */
  acknowledge(sequence: bigint): void {
    while (this.#reports[0] !== undefined && this.#reports[0].sequence <= sequence) this.#reports.shift();
    this.#tellIfEmpty();
  }

  /** Resolves once every report was acknowledged or given up. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#awaiting.add(resolve);
      this.#tellIfEmpty();
    });
  }

  /** Gives up the oldest report, which the other side refuses to take. Returns its sequence, or null if there is none. */
  dropOldest(): bigint | null {
    const sequence = this.#reports.shift()?.sequence ?? null;
    this.#tellIfEmpty();
    return sequence;
  }

  #tellIfEmpty(): void {
    if (this.#reports.length > 0) return;
    for (const tell of this.#awaiting) tell();
    this.#awaiting.clear();
  }
}

function mergeReport(report: TelemetryReport, content: TelemetryContent): void {
  report.windowStartMs = report.windowStartMs === 0n ? (content.windowStartMs ?? 0n) : report.windowStartMs;
  report.windowEndMs = content.windowEndMs ?? report.windowEndMs;
  report.revokedSequence = content.revokedSequence ?? report.revokedSequence;
  report.generation = content.generation ?? report.generation;
  report.refusalsDropped += content.refusalsDropped ?? 0n;
  mergeCounts(report.counts, content.counts ?? []);
  mergeReplicas(report.replicas, content.replicas ?? []);
  // A gauge and a fact: the newest stands for the window.
  if (content.open !== undefined) report.open = content.open.slice(0, MAXIMUM_ITEMS);
  if (content.served !== undefined && content.served.length > 0) report.served = content.served.slice(0, MAXIMUM_SERVED);
  const refusals = content.refusals ?? [];
  const room = Math.max(0, MAXIMUM_REFUSALS - report.refusals.length);
  report.refusals.push(...refusals.slice(0, room));
  report.refusalsDropped += BigInt(Math.max(0, refusals.length - room));
  report.drills.push(...(content.drills ?? []).slice(0, Math.max(0, MAXIMUM_DRILLS - report.drills.length)));
}

/** Adds up in place. Past the limit a new combination loses its caller, so that the totals of the endpoint stay true. */
export function mergeCounts(into: PathCount[], from: readonly PathCount[]): void {
  const known = new Map(into.map((count) => [keyOf(count), count]));
  for (const count of from) {
    const added = known.size < MAXIMUM_ITEMS || known.has(keyOf(count)) ? count : { ...count, caller: '' };
    const existing = known.get(keyOf(added));
    if (existing !== undefined) {
      existing.count += added.count;
      continue;
    }
    const copy = { ...added };
    known.set(keyOf(copy), copy);
    into.push(copy);
  }
}

/** Of each endpoint that is called a handful of events. */
export function mergeReplicas(into: ReplicaCount[], from: readonly ReplicaCount[]): void {
  for (const added of from) {
    const known = into.find(({ endpointId, event }) => endpointId === added.endpointId && event === added.event);
    if (known !== undefined) known.count += added.count;
    else if (into.length < MAXIMUM_REPLICA_COUNTS) into.push({ ...added });
  }
}

function keyOf(count: PathCount): string {
  const { side, endpointId, caller, generation, channel, unit, outcome, reason, exception } = count;
  return `${side} ${endpointId} ${caller} ${generation} ${channel} ${unit} ${outcome} ${reason}${exception}`;
}

/** Two minutes of one-second windows. */
const DEFAULT_CAPACITY = 120;
/** Below what the control plane keeps of one report (5,000 counts, 500 refusals, 200 drills), so that nothing is left out there. */
const MAXIMUM_ITEMS = 4_000;
const MAXIMUM_REPLICA_COUNTS = 2_000;
const MAXIMUM_SERVED = 1_000;
const MAXIMUM_REFUSALS = 500;
const MAXIMUM_DRILLS = 200;
