import type { Refusal } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';

/** The refusals of one report. A flood of one kind hides no other: what has no room is only counted. */
export class KeptRefusals {
  readonly list: Refusal[] = [];
  dropped = 0n;
  readonly #byKind = new Map<string, number>();

  hasRoomFor({ endpointId, reason }: Pick<Refusal, 'endpointId' | 'reason'>): boolean {
    return this.list.length < MAXIMUM_REFUSALS && (this.#byKind.get(`${endpointId} ${reason}`) ?? 0) < MAXIMUM_REFUSALS_OF_A_KIND;
  }

  add(refusal: Refusal): void {
    if (!this.hasRoomFor(refusal)) {
      this.dropped += 1n;
      return;
    }
    const kind = `${refusal.endpointId} ${refusal.reason}`;
    this.#byKind.set(kind, (this.#byKind.get(kind) ?? 0) + 1);
    this.list.push(refusal);
  }
}

/** Below what the control plane takes of one report. */
const MAXIMUM_REFUSALS = 400;
const MAXIMUM_REFUSALS_OF_A_KIND = 100;
