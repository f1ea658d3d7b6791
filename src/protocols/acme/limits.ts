import type { AuditedUnit } from '../../control/audit/entry.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Rate, takeCells } from './gcra.ts';
import { readArrivals, writeArrivals } from './limit-store.ts';
import { AcmeProblem } from './problems.ts';

/** What a client may ask for in a time. Per account and per name in the database, for all replicas; per address in this process. */
export type AcmeLimits = {
  /** New accounts from one address (an IPv6 /64 counts as one). */
  readonly accountsPerAddress: Rate;
  readonly ordersPerAccount: Rate;
  /** Orders of one account for one identifier: a client that loops. */
  readonly ordersPerName: Rate;
};

/** Names the allowances of an account, with which a commit that takes of them has to be alone. */
export function allowancesOf(accountId: string): string {
  return `acme-allowances:${accountId}`;
}

/**
 * Takes one order from the allowance of the account and of each name, in the commit that makes the order: one row read and written for each,
 * by its key. The commit is alone with `allowancesOf` the account, or two servers would both take the last one. @throws rateLimited with Retry-After; nothing is taken then
 */
export async function takeOrder(
  unit: AuditedUnit,
  limits: AcmeLimits,
  { accountId, names }: { readonly accountId: string; readonly names: readonly string[] },
  now: Instant,
): Promise<void> {
  const wanted = new Map<string, Rate>([[`account:${accountId}`, limits.ordersPerAccount]]);
  for (const name of names) wanted.set(`name:${accountId}:${name}`, limits.ordersPerName);
  const arrivals = await readArrivals(unit.queries, [...wanted.keys()]);
  const taken = [...wanted].map(([key, rate]): [string, Instant] => {
    const outcome = takeCells(now, arrivals.get(key) ?? null, rate);
    if (outcome.kind === 'taken') return [key, outcome.arrivalAt];
    const what = key.startsWith('account:') ? 'of this account' : `for ${key.split(':').slice(2).join(':')}`;
    throw limited(`orders ${what}`, outcome.retryAfterMs);
  });
  await writeArrivals(unit.queries, taken);
}

/** Allowances of addresses, in memory: a stranger's request costs no write. */
export class AddressLimit {
  readonly #rate: Rate;
  readonly #arrivals = new Map<string, Instant>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** @throws rateLimited with Retry-After */
  take(address: string, now: Instant): void {
    const key = networkOf(address);
    const outcome = takeCells(now, this.#arrivals.get(key) ?? null, this.#rate);
    if (outcome.kind === 'refused') throw limited('new accounts from this address', outcome.retryAfterMs);
    // Deleted first, so that the least recently seen stands first and is the one to go.
    this.#arrivals.delete(key);
    if (this.#arrivals.size >= MAXIMUM_ADDRESSES) this.#arrivals.delete(this.#arrivals.keys().next().value!);
    this.#arrivals.set(key, outcome.arrivalAt);
  }
}

function limited(what: string, retryAfterMs: number): AcmeProblem {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return new AcmeProblem('rateLimited', `Cannot accept request: too many ${what}; try again in ${seconds} s`, {
    headers: { 'retry-after': String(seconds) },
  });
}

/** Whoever has one IPv6 address usually has 2^64 of them. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail = ''] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const after = tail.split(':').filter((group) => group !== '');
  const full = address.includes('::')
    ? [...groups, ...Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0'), ...after]
    : groups;
  return full.slice(0, 4).join(':');
}

const MAXIMUM_ADDRESSES = 10_000;
