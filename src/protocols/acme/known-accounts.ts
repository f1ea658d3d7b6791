import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Account } from './account.ts';
import { findAccount, readAccountRevision } from './account-store.ts';

/**
 * Accounts as they stand now, mostly from memory: every request names one, and hardly any changes one. What is held is good for one revision of all
 * accounts, which the commit of any change moves on, here or at another server. It is asked before each use; where a snapshot is named, once in it.
 */
export class KnownAccounts {
  readonly #database: Pick<AuditedDatabase, 'queries' | 'snapshot'>;
  readonly #held = new Map<string, Account>();
  #revision = -1;
  #asked: { readonly snapshot: number; readonly revision: number } | null = null;

  constructor(database: Pick<AuditedDatabase, 'queries' | 'snapshot'>) {
    this.#database = database;
  }

  async find(id: string): Promise<Account | null> {
    const revision = this.#askedNow() ?? (await this.#askRevision());
    if (revision > this.#revision) {
      this.#held.clear();
      this.#revision = revision;
    }
    const held = this.#held.get(id);
    if (held !== undefined) return held;
    const account = await findAccount(this.#database.queries, id);
    // Read after the revision it is kept under: at worst it is forgotten early.
    if (account !== null && revision === this.#revision) this.#keep(account);
    return account;
  }

  #askedNow(): number | null {
    const snapshot = this.#database.snapshot();
    return snapshot !== null && snapshot === this.#asked?.snapshot ? this.#asked.revision : null;
  }

  async #askRevision(): Promise<number> {
    const asked = readAccountRevision(this.#database.queries);
    const snapshot = this.#database.snapshot();
    const revision = await asked;
    if (snapshot !== null) this.#asked = { snapshot, revision };
    return revision;
  }

  #keep(account: Account): void {
    if (this.#held.size >= MAXIMUM_HELD) this.#held.delete(this.#held.keys().next().value!);
    this.#held.set(account.id, account);
  }
}

/** Some 2 KiB each. */
const MAXIMUM_HELD = 10_000;
