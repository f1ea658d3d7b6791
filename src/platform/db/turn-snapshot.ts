import type { DatabaseSync } from 'node:sqlite';
import type { StatementRunner } from './statement-runner.ts';

/**
 * One snapshot for all that a connection reads in a turn of the event loop. After each commit of another connection SQLite takes its locks and
 * fills its page cache anew for the next reader, which costs more than the row does: so of many reads only the first pays.
 * A snapshot ends with its turn, or before a commit of this process: whoever was answered finds what was answered.
 */
export class TurnSnapshot {
  readonly #database: DatabaseSync;
  readonly #run: StatementRunner;
  #ending: NodeJS.Immediate | null = null;
  #taken = 0;

  constructor(database: DatabaseSync, run: StatementRunner) {
    this.#database = database;
    this.#run = run;
  }

  /** A number that no other snapshot has; null: none is open. */
  get current(): number | null {
    return this.#ending === null ? null : this.#taken;
  }

  /** Called before each read. */
  begin(): void {
    if (this.#ending !== null) return;
    this.#run('BEGIN');
    this.#taken++;
    this.#ending = setImmediate(() => this.end());
  }

  end(): void {
    if (this.#ending === null) return;
    clearImmediate(this.#ending);
    this.#ending = null;
    // An error of the disk ends a transaction by itself.
    if (this.#database.isTransaction) this.#run('COMMIT');
  }
}
