import type { Acknowledgement } from '../link/link-handlers.ts';
import { ACCEPTED } from '../link/link-handlers.ts';
import type { WorkerChange, WorkerOrder } from './worker-order.ts';
import type { Asked, WorkerProcess } from './worker-process.ts';

export type BeginWith = Pick<Extract<WorkerOrder, { readonly kind: 'begin' }>, 'index' | 'seen' | 'inherited' | 'unwanted'>;

/** How many workers a change has cost so far. */
export type TrialPatience = { lost: number };

/**
 * The workers that run now and what is in force at all of them. A change is tried by one before the others; whoever begins later is
 * given everything that is in force in one turn, so that it never serves under less. Callers see to it that `admit` and `putInForce`
 * come one after another; `spread` waits for nothing.
 */
export class WorkerGroup {
  readonly #inForce = new Map<WorkerChange['kind'], WorkerChange>();
  /** From their first order on. */
  readonly #told = new Set<WorkerProcess>();
  readonly #serving = new Map<number, WorkerProcess>();
  readonly #waiting = new Set<() => void>();

  /** Those that serve, by their place. */
  get serving(): readonly WorkerProcess[] {
    return [...this.#serving].toSorted(([a], [b]) => a - b).map(([, worker]) => worker);
  }

  /** Those that were told anything, and have not ended. */
  get told(): readonly WorkerProcess[] {
    return [...this.#told];
  }

  /** What those begin with that have begun nothing yet. */
  note(change: WorkerChange): WorkerChange {
    this.#inForce.set(change.kind, change);
    return change;
  }

  /** Resolves once a worker serves, or it is given up. */
  async untilServing(signal: AbortSignal): Promise<void> {
    if (this.#serving.size > 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const giveUp = (): void => resolve();
    this.#waiting.add(resolve);
    signal.addEventListener('abort', giveUp);
    await promise;
    this.#waiting.delete(resolve);
    signal.removeEventListener('abort', giveUp);
  }

  /** Gives a new worker all that is in force; true once it serves, false if it refused or ended. */
  async admit(worker: WorkerProcess, beginning: BeginWith): Promise<boolean> {
    const { index } = beginning;
    const identity = this.#inForce.get('identity');
    if (identity?.kind !== 'identity') return false;
    this.#told.add(worker);
    void worker.ended.then(() => {
      this.#told.delete(worker);
      if (this.#serving.get(index) === worker) this.#serving.delete(index);
    });
    const begin = { kind: 'begin', ...beginning, identity: identity.octets, takesUnixPorts: index === 0 } as const;
    const changes = BEGIN_WITH.flatMap((kind) => this.#inForce.get(kind) ?? []).map(asLastGood);
    const asked = await Promise.all(
      [begin, ...changes].map(async (order) => ({ kind: order.kind, answer: await worker.ask(order, CHANGE_WITHIN_MS) })),
    );
    // A staple may be of a certificate before, or have ended: then nothing is stapled until the next comes.
    const fault = asked.find(({ kind, answer }) => answer.kind === 'lost' || (answer.kind === 'refused' && kind !== 'staple'));
    if (fault?.answer.kind === 'refused') worker.kill(`it refused the ${fault.kind} in force: ${fault.answer.reason}`);
    if (fault !== undefined) return false;
    this.#serving.set(index, worker);
    for (const tell of this.#waiting) tell();
    return true;
  }

  /** Tells everybody at once, and resolves when all have it in force. Who does not say so in time, or will not, serves no more. */
  async spread(change: WorkerChange): Promise<void> {
    this.note(change);
    await Promise.all(
      this.told.map(async (worker) => {
        const { kind } = await worker.ask(change, SPREAD_WITHIN_MS);
        if (kind === 'refused') worker.kill(`it refused the ${change.kind} set`);
      }),
    );
  }

  /**
   * In force at all that serve, or at none. Whoever is lost on the way begins anew with what is in force by then; null if nobody is
   * left to try it, and there is patience for another time.
   */
  async putInForce(change: WorkerChange, patience: TrialPatience): Promise<Acknowledgement | null> {
    const workers = this.serving;
    const trial = await tryOne(workers, change, patience);
    if (trial === null || trial.answer.kind === 'refused') return trial?.answer ?? null;
    const others = workers.slice(trial.asked);
    const answers = await Promise.all(others.map((worker) => worker.ask(change, CHANGE_WITHIN_MS)));
    const refusal = answers.find((answer) => answer.kind === 'refused');
    if (refusal === undefined) {
      this.note(change);
      return ACCEPTED;
    }
    const accepted = [workers[trial.asked - 1]!, ...others.filter((_, at) => answers[at]!.kind === 'accepted')];
    await Promise.all(accepted.map((worker) => this.#putBack(worker, change.kind)));
    return refusal;
  }

  async #putBack(worker: WorkerProcess, kind: WorkerChange['kind']): Promise<void> {
    const before = this.#inForce.get(kind);
    const asked: Asked = before === undefined ? { kind: 'lost' } : await worker.ask(asLastGood(before), CHANGE_WITHIN_MS);
    if (asked.kind !== 'accepted') worker.kill(`it cannot go back to the ${kind} of before`);
  }
}

/** The last one asked gave the answer; null if all that serve ended, and that is no judgement yet. */
async function tryOne(
  workers: readonly WorkerProcess[],
  change: WorkerChange,
  patience: TrialPatience,
): Promise<{ readonly answer: Acknowledgement; readonly asked: number } | null> {
  for (const [at, worker] of workers.entries()) {
    const answer = await worker.ask(change, CHANGE_WITHIN_MS);
    if (answer.kind === 'accepted' || answer.kind === 'refused') return { answer, asked: at + 1 };
    patience.lost += 1;
    if (patience.lost >= TRIERS) return { answer: { kind: 'refused', reason: 'the workers that tried it ended' }, asked: at + 1 };
  }
  return null;
}

/** It was in force before, so that a certificate which has run out meanwhile stops nothing. */
function asLastGood(change: WorkerChange): WorkerChange {
  return change.kind === 'settings' ? { ...change, isLastGood: true } : change;
}

/** After its identity, in the order in which it must be in force: how sessions resume, whom to trust, whom not, what to do. */
const BEGIN_WITH = ['ticket-keys', 'trust', 'federated', 'revoked', 'anchors', 'client-certificates', 'staple', 'settings'] as const;
/** One that dies just then is no judgement, two are. */
const TRIERS = 2;
/** Longer than the handshakes of many policies with ourselves; a worker that needs more hangs. */
const CHANGE_WITHIN_MS = 30_000;
/** Whoever cannot be told whom to refuse serves nobody. */
const SPREAD_WITHIN_MS = 5_000;
