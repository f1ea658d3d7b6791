import type { ProblemCode } from '../../core/problems/codes.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { actorOf, type Principal } from './principal.ts';

/** A request that was refused for who sent it; `route` is one of a few words of the door that it came to. */
export type Refusal = { readonly route: string; readonly code: ProblemCode; readonly principal: Principal | null };

/**
 * Puts refused requests into the audit log: the first of its kind at once, before it is answered; the same again within a minute is
 * counted and stands in the next entry, so that nobody can fill the log by knocking. Kinds are bounded: routes × codes × known tokens.
 */
export class RefusalLog {
  readonly #deps: { readonly database: AuditedDatabase; readonly place: { readonly environment: string; readonly region: string } };
  readonly #kinds = new Map<string, { loggedAt: Instant; unlogged: number }>();

  constructor(deps: { readonly database: AuditedDatabase; readonly place: { readonly environment: string; readonly region: string } }) {
    this.#deps = deps;
  }

  async record(refusal: Refusal, now: Instant): Promise<void> {
    const { route, code, principal } = refusal;
    const key = `${route} ${code} ${principal?.tokenId ?? ''}`;
    const kind = this.#kinds.get(key);
    if (kind !== undefined && Math.abs(now - kind.loggedAt) < QUIET_MS) {
      kind.unlogged += 1;
      return;
    }
    const before = kind?.unlogged ?? 0;
    if (this.#kinds.size >= MAXIMUM_KINDS) this.#kinds.clear();
    this.#kinds.set(key, { loggedAt: now, unlogged: 0 });
    await this.#deps.database.commit(async (unit) => {
      recordEntry(unit, {
        type: 'request.refused',
        at: now,
        ...this.#deps.place,
        actor: principal === null ? { kind: 'system', name: 'nobody' } : actorOf(principal),
        data: { route, code, tokenId: principal?.tokenId ?? null, alikeSinceLastEntry: before },
      });
    });
  }
}

const QUIET_MS = 60_000;
const MAXIMUM_KINDS = 10_000;
