import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { pause } from '../../platform/clock/pause.ts';
import type { AdminClient } from './admin-client.ts';

export type LedgerDeps = { readonly admin: Pick<AdminClient, 'counters' | 'gauges'>; readonly clock: Clock };

/** What Envoy says of its logs at one moment. */
type Look = {
  readonly at: Instant;
  /** Entries of calls that it made, kept or dropped; it does not count those of connections before they are sent. */
  readonly made: number;
  /** Entries of both kinds that it gave to a stream. */
  readonly sent: number;
  /** Numbers that only grow while it lives. */
  readonly signsOfAge: readonly number[];
};

/**
 * Holds what Envoy logged against what came here. Envoy drops entries when its companion is slow, and counts as sent what a broken stream
 * took with it; so neither of its counters is enough, but both together are: each entry that was made or sent has to come.
 */
export class LogLedger {
  readonly #deps: LedgerDeps;
  #arrived = { calls: 0, all: 0 };
  /** Given up for good. */
  #lost = { calls: 0, all: 0 };
  /** The look that is waited for, and what came after it and was made before it, surely or perhaps. */
  #waiting: { readonly look: Look; before: number; perhaps: number } | null = null;
  #signsOfAge: readonly number[] | null = null;
  /** What had arrived when it was last seen to leave. */
  #arrivedBefore: { readonly calls: number; readonly all: number } | null = null;
  readonly #begun: Promise<void>;

  constructor(deps: LedgerDeps) {
    this.#deps = deps;
    this.#begun = this.#begin();
  }

  /** `madeAt` null: it does not say. */
  callCame(madeAt: Instant | null): void {
    this.#arrived.calls += 1;
    this.#arrived.all += 1;
    const { look, before, perhaps } = this.#waiting ?? noLook;
    if (this.#waiting === null) return;
    if (madeAt === null) this.#waiting.perhaps = perhaps + 1;
    else if (madeAt <= look.at) this.#waiting.before = before + 1;
  }

  connectionCame(): void {
    this.#arrived.all += 1;
  }

  /** Its last connection ended: it is gone, or comes again. */
  envoyWentAway(): void {
    this.#arrivedBefore = { ...this.#arrived };
  }

  /** Resolves when everything is here that Envoy logged until now, or will not come; with how many entries are lost that were not before. */
  async settle(withinMs = PATIENCE_MS): Promise<number> {
    await this.#begun;
    const look = await this.#look();
    if (look === null) return 0;
    this.#recognise(look);
    const calls = this.#arrived.calls;
    this.#waiting = { look, before: 0, perhaps: 0 };
    const deadline = performance.now() + withinMs;
    let unsent = look.sent - this.#arrived.all;
    for (;;) {
      const { before, perhaps } = this.#waiting;
      const unmade = look.made - calls - before;
      this.#lost = { calls: Math.min(this.#lost.calls, Math.max(0, unmade)), all: Math.min(this.#lost.all, Math.max(0, unsent)) };
      const missing = Math.max(unmade - perhaps - this.#lost.calls, unsent - this.#lost.all);
      if (missing <= 0 || performance.now() > deadline) {
        this.#waiting = null;
        if (missing > 0) this.#lost = { calls: Math.max(this.#lost.calls, unmade - perhaps), all: Math.max(this.#lost.all, unsent) };
        return Math.max(0, missing);
      }
      await pause(POLL_MS, NEVER);
      const again = unsent > this.#lost.all ? await this.#look() : null;
      if (again !== null) unsent = Math.min(unsent, again.sent - this.#arrived.all);
    }
  }

  /** What an Envoy that ran before us logged, somebody else was told, or nobody. */
  async #begin(): Promise<void> {
    const look = await this.#look();
    if (look === null) return;
    this.#signsOfAge = look.signsOfAge;
    this.#lost = { calls: Math.max(0, look.made - this.#arrived.calls), all: Math.max(0, look.sent - this.#arrived.all) };
  }

  /** Another Envoy counts from the start. */
  #recognise({ signsOfAge }: Look): void {
    const isNew = this.#signsOfAge?.some((sign, at) => signsOfAge[at]! < sign) ?? false;
    this.#signsOfAge = signsOfAge;
    if (isNew) {
      const { calls, all } = this.#arrivedBefore ?? this.#arrived;
      this.#arrived = { calls: this.#arrived.calls - calls, all: this.#arrived.all - all };
      this.#lost = { calls: 0, all: 0 };
    }
    this.#arrivedBefore = null;
  }

  async #look(): Promise<Look | null> {
    const { admin, clock } = this.#deps;
    try {
      const uptime = (await admin.gauges(UPTIME)).get('server.uptime') ?? 0;
      const counters = await admin.counters(COUNTERS);
      const of = (name: string): number => counters.get(name) ?? 0;
      const [made, sent] = [of(`${LOGS}.logs_written`) + of(`${LOGS}.logs_dropped`), of(`${LOGS}.grpc_entries_flushed`)];
      // We are who asks it most.
      return { at: clock.now(), made, sent, signsOfAge: [made, sent, uptime, of(ASKED)] };
    } catch {
      return null;
    }
  }
}

const NEVER = new AbortController().signal;
const noLook = { look: { at: 0 }, before: 0, perhaps: 0 };
const LOGS = 'access_logs.grpc_access_log';
const ASKED = 'http.admin.downstream_rq_total';
const UPTIME = String.raw`^server\.uptime$`;
const COUNTERS = String.raw`^(access_logs\.grpc_access_log\.(logs_written|logs_dropped|grpc_entries_flushed)|http\.admin\.downstream_rq_total)$`;
/** Above what a flush and a busy machine take, below the silence that a gate takes for none. */
const PATIENCE_MS = 2_500;
const POLL_MS = 20;
