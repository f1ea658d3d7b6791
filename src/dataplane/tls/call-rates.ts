import type { CallRate } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';

type Bucket = { calls: number; at: number };

/**
 * How often callers may call. Only proved and allowed callers and the exceptions of the endpoint are asked about, so there are never more buckets than these. New settings begin with full buckets.
 */
export class CallRates {
  readonly #caller: CallRate | null;
  readonly #endpoint: CallRate | null;
  readonly #callers = new Map<string, Bucket>();
  readonly #all: Bucket = { calls: 0, at: Number.NEGATIVE_INFINITY };

  /** @throws input-invalid */
  constructor(caller: CallRate | null, endpoint: CallRate | null) {
    for (const rate of [caller, endpoint]) {
      if (rate !== null && (rate.perSecond === 0 || rate.burst === 0)) {
        throw new Problem('input-invalid', `Cannot use call rate: ${rate.perSecond} a second, ${rate.burst} at once, expected at least 1`);
      }
    }
    this.#caller = caller;
    this.#endpoint = endpoint;
  }

  /** Takes one call of both, or of neither. `nowMs` only rises. */
  takes(caller: string, nowMs: number): boolean {
    const own = this.#bucketOf(caller);
    if (this.#caller !== null && !isOpen(own, this.#caller, nowMs)) return false;
    if (this.#endpoint !== null && !isOpen(this.#all, this.#endpoint, nowMs)) return false;
    own.calls -= 1;
    this.#all.calls -= 1;
    return true;
  }

  #bucketOf(caller: string): Bucket {
    const known = this.#callers.get(caller);
    if (known !== undefined) return known;
    const made = { calls: 0, at: Number.NEGATIVE_INFINITY };
    if (this.#caller !== null) this.#callers.set(caller, made);
    return made;
  }
}

/** Fills the bucket up to this moment. */
function isOpen(bucket: Bucket, { perSecond, burst }: CallRate, nowMs: number): boolean {
  bucket.calls = Math.min(burst, bucket.calls + ((nowMs - bucket.at) / 1_000) * perSecond);
  bucket.at = nowMs;
  return bucket.calls >= 1;
}
