import { create } from '@bufbuild/protobuf';
import {
  Channel as WireChannel,
  Outcome as WireOutcome,
  PathCountSchema,
  type PathCount,
  type Refusal,
  RefusalSchema,
  type ReplicaCount,
  ReplicaCountSchema,
  Side as WireSide,
  Unit as WireUnit,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { ReplicaEvent } from '../../core/tls/replica-event.ts';
import { KeptRefusals } from './kept-refusals.ts';
import type { CertificateName, Channel } from './peer.ts';

export type Side = 'caller' | 'receiver';
export type Unit = 'connection' | 'call';
export type Outcome = 'accepted' | 'would-refuse' | 'excepted' | 'refused' | 'failed';

/** `passthrough`: carried on without a look inside. */
export type CountedChannel = Channel | 'passthrough';

/** One thing that happened; equal ones are counted together. */
export type Happening = {
  readonly side: Side;
  readonly endpointId: string;
  /** Proved SPIFFE ID, or empty. */
  readonly caller: string;
  readonly generation: bigint;
  readonly channel: CountedChannel;
  readonly unit: Unit;
  readonly outcome: Outcome;
  readonly reason: RefusalReason | null;
  /** Name of what excepted it. */
  readonly exception?: string | undefined;
};

export type RefusalRecord = {
  readonly endpointId: string;
  readonly at: Instant;
  /** Empty where we are told none; then there is an address. */
  readonly firstOctetsSha256: Uint8Array;
  /** `IP:PORT`. */
  readonly remoteAddress?: string;
  readonly reason: RefusalReason;
  readonly caller: string;
  readonly certificate: CertificateName | null;
  readonly resumed: boolean;
  readonly octetsForwarded: number;
};

/** What one window counted. */
export type Counted = {
  readonly counts: PathCount[];
  readonly refusals: Refusal[];
  readonly refusalsDropped: bigint;
  readonly replicas: ReplicaCount[];
};

/** Counts what happens until the next report takes it away. Bounded whatever peers do. */
export class Counters {
  #counts = new Map<string, PathCount>();
  #refusals = new KeptRefusals();
  #replicas = new Map<string, ReplicaCount>();

  count(happening: Happening): void {
    const { side, endpointId, generation, channel, unit, outcome, reason, exception = '' } = happening;
    // Past the bound a caller is counted without its name, so that the sums stay true.
    const caller = this.#counts.size < MAXIMUM_COUNTS ? happening.caller : '';
    const key = `${side} ${endpointId} ${caller} ${generation} ${channel} ${unit} ${outcome} ${reason ?? exception}`;
    const known = this.#counts.get(key);
    if (known !== undefined) {
      known.count += 1n;
      return;
    }
    this.#counts.set(
      key,
      create(PathCountSchema, {
        side: sides[side],
        endpointId,
        caller,
        generation,
        channel: wireChannels[channel],
        unit: units[unit],
        outcome: outcomes[outcome],
        reason: reason ?? '',
        exception,
        count: 1n,
      }),
    );
  }

  /** There are few endpoints and few events. */
  countReplica(endpointId: string, event: ReplicaEvent): void {
    const key = `${endpointId} ${event}`;
    const known = this.#replicas.get(key) ?? create(ReplicaCountSchema, { endpointId, event });
    known.count += 1n;
    this.#replicas.set(key, known);
  }

  /** Keeps the refusal for the report if there is room for its kind. */
  refuse(refusal: RefusalRecord): void {
    // Nothing is made of what a flood repeats.
    if (!this.#refusals.hasRoomFor(refusal)) {
      this.#refusals.dropped += 1n;
      return;
    }
    this.#refusals.add(
      create(RefusalSchema, {
        endpointId: refusal.endpointId,
        atMs: BigInt(refusal.at),
        firstOctetsSha256: refusal.firstOctetsSha256,
        reason: refusal.reason,
        caller: refusal.caller,
        issuerKeySha256: refusal.certificate?.issuerKeySha256 ?? new Uint8Array(),
        serial: refusal.certificate?.serial ?? new Uint8Array(),
        resumed: refusal.resumed,
        octetsForwarded: BigInt(refusal.octetsForwarded),
        remoteAddress: refusal.remoteAddress ?? '',
      }),
    );
  }

  /** What was counted since the last call. */
  take(): Counted {
    const { list, dropped } = this.#refusals;
    const taken = {
      counts: [...this.#counts.values()],
      refusals: list,
      refusalsDropped: dropped,
      replicas: [...this.#replicas.values()],
    };
    this.#counts = new Map();
    this.#replicas = new Map();
    this.#refusals = new KeptRefusals();
    return taken;
  }
}

export const sides: { readonly [side in Side]: WireSide } = { caller: WireSide.CALLER, receiver: WireSide.RECEIVER };
export const wireChannels: { readonly [channel in CountedChannel]: WireChannel } = {
  plaintext: WireChannel.PLAINTEXT,
  tls: WireChannel.TLS,
  mtls: WireChannel.MTLS,
  passthrough: WireChannel.PASSTHROUGH,
};
const units: { readonly [unit in Unit]: WireUnit } = { connection: WireUnit.CONNECTION, call: WireUnit.CALL };
const outcomes: { readonly [outcome in Outcome]: WireOutcome } = {
  accepted: WireOutcome.ACCEPTED,
  'would-refuse': WireOutcome.WOULD_REFUSE,
  excepted: WireOutcome.EXCEPTED,
  refused: WireOutcome.REFUSED,
  failed: WireOutcome.FAILED,
};

/** Below what the control plane takes of one report. */
const MAXIMUM_COUNTS = 4_000;
