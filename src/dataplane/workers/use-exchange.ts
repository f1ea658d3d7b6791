import type { SharedUse } from '../tls/shared-use.ts';

type Calls = Map<string, Map<string, number>>;
type Told = { calls: Calls; open: ReadonlyMap<string, number>; said: string };

/**
 * Carries between workers what they use of limits that hold for all of them. Each is told the sum of the others, now and then, so a limit
 * may be passed for that long; calls too many are owed afterwards.
 */
export class UseExchange<Worker> {
  readonly #told = new Map<Worker, Told>();
  /** Of those that ended since the last turn. */
  #left: Calls[] = [];

  hear(worker: Worker, { calls, open }: SharedUse): void {
    const told = this.#told.get(worker) ?? { calls: new Map(), open, said: '' };
    add(told.calls, calls);
    told.open = open;
    this.#told.set(worker, told);
  }

  /** Its connections are closed; what it let through counts on. */
  forget(worker: Worker): void {
    const told = this.#told.get(worker);
    if (told === undefined) return;
    this.#left.push(told.calls);
    this.#told.delete(worker);
  }

  /** What each of these has to hear now; those for whom nothing is new are left out. */
  turn(workers: readonly Worker[]): ReadonlyMap<Worker, SharedUse> {
    const messages = new Map<Worker, SharedUse>();
    for (const worker of workers) {
      const others = [...this.#told].filter(([other]) => other !== worker).map(([, told]) => told);
      const calls: Calls = new Map();
      for (const spent of [...this.#left, ...others.map((told) => told.calls)]) add(calls, spent);
      const open = new Map<string, number>();
      for (const other of others) for (const [endpointId, count] of other.open) open.set(endpointId, (open.get(endpointId) ?? 0) + count);
      const said = JSON.stringify([...open].toSorted());
      const own = this.#told.get(worker) ?? { calls: new Map(), open: new Map(), said: '[]' };
      if (calls.size > 0 || said !== own.said) messages.set(worker, { calls, open });
      own.said = said;
      this.#told.set(worker, own);
    }
    for (const told of this.#told.values()) told.calls = new Map();
    this.#left = [];
    return messages;
  }
}

function add(into: Calls, calls: SharedUse['calls']): void {
  for (const [endpointId, spent] of calls) {
    const known = into.get(endpointId) ?? new Map<string, number>();
    for (const [caller, count] of spent) known.set(caller, (known.get(caller) ?? 0) + count);
    into.set(endpointId, known);
  }
}
