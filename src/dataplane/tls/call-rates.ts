import type { CallRate } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';

type Bucket = { calls: number; at: number };

/**
 * How often callers may call. Only proved and allowed callers and the exceptions of the endpoint are asked about, so there are never more
 * buckets than these. New settings begin with full buckets.
 */
export class CallRates {
  readonly #caller: CallRate | null;
  readonly #endpoint: CallRate | null;
  readonly #callers = new Map<string, Bucket>();
  readonly #all: Bucket = { calls: 0, at: Number.NEGATIVE_INFINITY };
  /** By caller, since others were last told; null where nobody shares the rates. */
  #spent: Map<string, number> | null = null;

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
    if (this.#spent !== null) this.#spent.set(caller, (this.#spent.get(caller) ?? 0) + 1);
    return true;
  }

  /** From now on it is noted what others have to be told. */
  share(): void {
    this.#spent ??= new Map();
  }

  /** Calls taken since the last time, by caller. */
  takeSpent(): ReadonlyMap<string, number> {
    const spent = this.#spent ?? new Map<string, number>();
    if (spent.size > 0) this.#spent = new Map();
    return spent;
  }

  /** Calls that others took of these rates. What was taken twice is owed, so that a rate holds over time. */
  spend(spent: ReadonlyMap<string, number>, nowMs: number): void {
    for (const [caller, calls] of spent) {
      if (this.#caller !== null) owe(this.#bucketOf(caller), { rate: this.#caller, calls, nowMs });
      if (this.#endpoint !== null) owe(this.#all, { rate: this.#endpoint, calls, nowMs });
    }
  }

  #bucketOf(caller: string): Bucket {
    const known = this.#callers.get(caller);
    if (known !== undefined) return known;
    const made = { calls: 0, at: Number.NEGATIVE_INFINITY };
    if (this.#caller !== null) this.#callers.set(caller, made);
    return made;
  }
}

function owe(bucket: Bucket, { rate, calls, nowMs }: { readonly rate: CallRate; readonly calls: number; readonly nowMs: number }): void {
  isOpen(bucket, rate, nowMs);
  bucket.calls -= calls;
}

/** Fills the bucket up to this moment. */
function isOpen(bucket: Bucket, { perSecond, burst }: CallRate, nowMs: number): boolean {
  bucket.calls = Math.min(burst, bucket.calls + ((nowMs - bucket.at) / 1_000) * perSecond);
  bucket.at = nowMs;
  return bucket.calls >= 1;
}
