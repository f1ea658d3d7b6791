import type { ReplicaEvent } from '../../core/tls/replica-event.ts';
import { type Address, formatAddress } from './address.ts';
import type { ReplicaSettings } from './replica-settings.ts';
import { RetryBudget } from './retry-budget.ts';

/** `address` is empty where the event is of none of them. */
export type ReplicaWatch = (event: ReplicaEvent, address: string) => void;

type Replica = {
  readonly address: string;
  failures: number;
  isEjected: boolean;
  ejections: number;
  /** When its last time out is or was over, and how long that was. */
  outUntil: number;
  outMs: number;
  isHealthy: boolean;
  /** Checks in a row that say the other thing. */
  contrary: number;
  timer: NodeJS.Timeout | null;
};

/**
 * Which replicas of an endpoint are called, in turn. One that keeps failing is left out for a growing time, and one that its checks
 * find ill until they find it well; but there is always one to call, and where nearly all seem ill it is the view that is wrong.
 */
export class Replicas {
  readonly #settings: ReplicaSettings;
  readonly #replicas: readonly Replica[];
  readonly #watch: ReplicaWatch;
  readonly #budget: RetryBudget | null;
  #callable: readonly number[];
  #next = 0;
  #panics = false;

  constructor(addresses: readonly Address[], settings: ReplicaSettings, watch: ReplicaWatch = ignore) {
    this.#settings = settings;
    this.#watch = watch;
    this.#budget = settings.retries === null ? null : new RetryBudget(settings.retries, performance.now());
    this.#replicas = addresses.map((address) => ({
      address: formatAddress(address),
      failures: 0,
      isEjected: false,
      ejections: 0,
      outUntil: 0,
      outMs: 0,
      isHealthy: true,
      contrary: 0,
      timer: null,
    }));
    this.#callable = addresses.map((_address, index) => index);
  }

  /** Whose turn it is. */
  next(): number {
    const at = this.#next < this.#callable.length ? this.#next : 0;
    this.#next = at + 1;
    return this.#callable[at]!;
  }

  /** All of them, this one first and those that are not called now last: better one of these than none. */
  orderFrom(first: number): readonly number[] {
    const count = this.#replicas.length;
    const all = Array.from({ length: count }, (_, step) => (first + step) % count);
    if (this.#callable.length === count) return all;
    return [...all.filter((index) => this.#callable.includes(index)), ...all.filter((index) => !this.#callable.includes(index))];
  }

  /** True if what calls and connections come to is of interest. */
  get listens(): boolean {
    return this.#settings.ejection !== null;
  }

  get out(): number {
    return this.#replicas.length - this.#callable.length;
  }

  beginCall(): void {
    this.#budget?.save();
  }

  /**
   * True if a call may be sent again, which is counted. `unseen`: the replica says that it did nothing of it, so it may without a budget;
   * `unanswered`: it may harm nobody.
   */
  mayRepeat(why: 'unseen' | 'unanswered'): boolean {
    if (this.#budget === null) return why === 'unseen';
    const may = this.#budget.take(performance.now());
    this.#watch(may ? 'retry' : 'retry-denied', '');
    return may;
  }

  /** What a call or connection came to. */
  note(index: number, isGood: boolean): void {
    const replica = this.#replicas[index];
    if (replica === undefined) return;
    if (isGood) {
      replica.failures = 0;
      return;
    }
    const { ejection } = this.#settings;
    replica.failures += 1;
    if (ejection === null || replica.isEjected || replica.failures < ejection.failures) return;
    const out = this.#replicas.filter(({ isEjected }) => isEjected).length;
    const most = Math.floor((this.#replicas.length * ejection.maximumPercent) / 100);
    const isLast = this.#callable.every((other) => other === index);
    if (out < most && !isLast) this.#eject(replica, ejection.baseMs);
  }

  /** What a check of its health came to. */
  noteCheck(index: number, isGood: boolean): void {
    const { healthCheck } = this.#settings;
    const replica = this.#replicas[index]!;
    if (healthCheck === null) return;
    if (isGood === replica.isHealthy) {
      replica.contrary = 0;
      return;
    }
    replica.contrary += 1;
    if (replica.contrary < (isGood ? healthCheck.healthyAfter : healthCheck.unhealthyAfter)) return;
    replica.contrary = 0;
    replica.isHealthy = isGood;
    this.#watch(isGood ? 'healthy' : 'unhealthy', replica.address);
    this.#choose();
  }

  /** Begins where the view before ended, as far as the addresses are the same: a renewed certificate makes nobody well. */
  learnFrom(before: Replicas): void {
    for (const replica of this.#replicas) {
      const known = before.#replicas.find(({ address }) => address === replica.address);
      if (known === undefined) continue;
      replica.ejections = known.ejections;
      replica.outMs = known.outMs;
      replica.outUntil = known.outUntil;
      if (this.#settings.healthCheck !== null) replica.isHealthy = known.isHealthy;
      if (this.#settings.ejection !== null && known.isEjected) this.#leaveOut(replica, known.outUntil);
    }
    this.#choose();
  }

  stop(): void {
    for (const { timer } of this.#replicas) if (timer !== null) clearTimeout(timer);
  }

  #eject(replica: Replica, baseMs: number): void {
    const now = performance.now();
    // One that was well for as long as it was out begins anew.
    if (now - replica.outUntil > replica.outMs) replica.ejections = 0;
    replica.ejections += 1;
    replica.outMs = Math.min(MAXIMUM_OUT_MS, baseMs * replica.ejections);
    this.#watch('ejected', replica.address);
    this.#leaveOut(replica, now + replica.outMs);
    this.#choose();
  }

  #leaveOut(replica: Replica, until: number): void {
    replica.isEjected = true;
    replica.failures = 0;
    replica.outUntil = until;
    replica.timer = setTimeout(() => {
      replica.isEjected = false;
      replica.failures = 0;
      this.#watch('returned', replica.address);
      this.#choose();
    }, until - performance.now()).unref();
  }

  #choose(): void {
    const indexes = this.#replicas.map((_replica, index) => index);
    const healthy = indexes.filter((index) => this.#replicas[index]!.isHealthy);
    const panics = healthy.length === 0 || healthy.length * 100 < indexes.length * (this.#settings.healthCheck?.panicPercent ?? 0);
    if (panics && !this.#panics) this.#watch('panic', '');
    this.#panics = panics;
    const well = panics ? indexes : healthy;
    const callable = well.filter((index) => !this.#replicas[index]!.isEjected);
    this.#callable = callable.length > 0 ? callable : well;
  }
}

function ignore(): void {}

/** A replica that is back must be found within minutes, however often it failed before. */
const MAXIMUM_OUT_MS = 300_000;
