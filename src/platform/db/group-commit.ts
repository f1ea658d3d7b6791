import { setImmediate } from 'node:timers/promises';
import type { FencedUnit, Queries, Seal, UnitOfWork } from './database.ts';

/** One open transaction on the writer, as the two databases give it. */
export type WriterTransaction = {
  readonly queries: Queries;
  run(sql: string): Promise<void>;
  /** Durable when it resolves. */
  commit(): Promise<void>;
  rollback(): Promise<void>;
};

/** What a transaction is begun with: alone of all, or alone with these names. */
export type BatchNeeds = { readonly isFence: boolean; readonly alone: readonly string[] };

type Waiting<Staged> = {
  readonly unit: (work: UnitOfWork<Staged>) => Promise<unknown>;
  readonly isFence: boolean;
  readonly alone: readonly string[];
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Lets concurrent units share one transaction and so one flush. Each runs in a savepoint: one that throws takes nothing with it
 * but itself. One fence makes its whole batch one. The seal runs last. If the commit fails, every unit of the batch fails with its error.
 */
export class GroupCommit<Staged> {
  readonly #begin: (needs: BatchNeeds) => Promise<WriterTransaction>;
  readonly #seal: Seal<Staged> | null;
  #waiting: Waiting<Staged>[] = [];
  #running: Promise<void> | null = null;

  constructor(begin: (needs: BatchNeeds) => Promise<WriterTransaction>, seal: Seal<Staged> | null) {
    this.#begin = begin;
    this.#seal = seal;
  }

  commit<T>(unit: (work: UnitOfWork<Staged>) => Promise<T>, alone: readonly string[] = []): Promise<T> {
    return this.#queue(unit, { isFence: false, alone });
  }

  commitFenced<T>(unit: (work: FencedUnit<Staged>) => Promise<T>): Promise<T> {
    return this.#queue(unit as (work: UnitOfWork<Staged>) => Promise<T>, { isFence: true, alone: [] });
  }

  #queue<T>(unit: (work: UnitOfWork<Staged>) => Promise<T>, needs: BatchNeeds): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ unit, ...needs, resolve: resolve as (value: never) => void, reject });
      this.#running ??= this.#drain();
    });
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      // SQLite commits without a turn of the event loop, so requests that other sockets already hold would each get a flush of their own.
      // After the poll phase all of them are here.
      await setImmediate();
      const batch = this.#waiting.splice(0, MAXIMUM_UNITS);
      await this.#commitBatch(batch);
    }
    this.#running = null;
  }

  async #commitBatch(batch: readonly Waiting<Staged>[]): Promise<void> {
    const done: (() => void)[] = [];
    let transaction: WriterTransaction | null = null;
    try {
      transaction = await this.#begin({ isFence: batch.some(({ isFence }) => isFence), alone: batch.flatMap(({ alone }) => alone) });
      const staged: Staged[] = [];
      for (const waiting of batch) {
        const settle = await this.#runUnit(transaction, waiting, staged);
        if (settle !== null) done.push(settle);
      }
      if (staged.length > 0) await this.#seal?.(transaction.queries, staged);
      await transaction.commit();
    } catch (error) {
      await transaction?.rollback().catch(() => undefined);
      for (const waiting of batch) waiting.reject(error);
      return;
    }
    for (const settle of done) settle();
  }

  async #runUnit(transaction: WriterTransaction, waiting: Waiting<Staged>, staged: Staged[]): Promise<(() => void) | null> {
    const own: Staged[] = [];
    await transaction.run('SAVEPOINT unit');
    try {
      const value = await waiting.unit({ queries: transaction.queries, stage: (item) => void own.push(item) });
      await transaction.run('RELEASE SAVEPOINT unit');
      staged.push(...own);
      return () => waiting.resolve(value as never);
    } catch (error) {
      await transaction.run('ROLLBACK TO SAVEPOINT unit');
      await transaction.run('RELEASE SAVEPOINT unit');
      waiting.reject(error);
      return null;
    }
  }
}

/** Bounds how long the first unit of a batch waits for the last. */
const MAXIMUM_UNITS = 256;
