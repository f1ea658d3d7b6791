import { applyRule, type RuleGrant } from '../../core/oidc/identity-provider.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import { type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { FetchKeys } from './fetch-json.ts';
import { KeySets } from './key-sets.ts';
import { MachineTokenRefused } from './machine-token-refused.ts';
import { useMachineToken } from './machine-token-store.ts';
import { verifyMachineToken } from './verify-machine-token.ts';

/** The bearer of a machine's token: what each rule that fits gives it. */
export type Machine = {
  /** `<provider>: <sub>`, as the log calls it. */
  readonly name: string;
  readonly grants: readonly RuleGrant[];
  readonly digest: string;
  readonly expiresAt: Instant;
};

export type MachineTokenDeps = {
  readonly database: AuditedDatabase;
  readonly trustDomain: TrustDomain;
  readonly place: { readonly environment: string; readonly region: string };
  readonly fetch: FetchKeys;
  readonly log: Log;
};

/** Judges tokens of other issuers. Every refusal is logged with its reason; in the audit log the same again within a minute is counted. */
export class MachineTokens {
  readonly #deps: MachineTokenDeps;
  readonly #keySets: KeySets;
  readonly #refused = new Map<string, { loggedAt: Instant; unlogged: number }>();

  constructor(deps: MachineTokenDeps) {
    this.#deps = deps;
    this.#keySets = new KeySets(deps.fetch);
  }

  /** @throws MachineTokenRefused */
  async authenticate(token: string, now: Instant): Promise<Machine> {
    try {
      return await this.#judge(token, now);
    } catch (error) {
      if (error instanceof MachineTokenRefused) await this.refused(error, now);
      throw error;
    }
  }

  /** Logs a refusal that another found. */
  async refused({ reason, detail }: MachineTokenRefused, now: Instant): Promise<void> {
    this.#deps.log('warn', 'machine-token.refused', { reason, detail });
    const kind = this.#refused.get(reason);
    if (kind !== undefined && Math.abs(now - kind.loggedAt) < MINUTE_MS) {
      kind.unlogged += 1;
      return;
    }
    this.#refused.set(reason, { loggedAt: now, unlogged: 0 });
    await this.#deps.database.commit(async (unit) => {
      recordEntry(unit, {
        type: 'machine-token.refused',
        at: now,
        ...this.#deps.place,
        actor: { kind: 'system', name: 'nobody' },
        data: { reason, detail, alikeSinceLastEntry: kind?.unlogged ?? 0 },
      });
    });
  }

  async #judge(token: string, now: Instant): Promise<Machine> {
    const { payload, providers, digest, expiresAt } = await verifyMachineToken({ ...this.#deps, keySets: this.#keySets }, token, now);
    const grants: RuleGrant[] = [];
    const against: string[] = [];
    for (const { name, provider } of providers) {
      for (const rule of provider.rules) {
        const verdict = applyRule(rule, { claims: payload, trustDomain: this.#deps.trustDomain, provider: name });
        if (verdict.kind === 'grant') grants.push(verdict.grant);
        else against.push(verdict.detail);
      }
    }
    if (grants.length === 0) throw new MachineTokenRefused('no-rule', against.join('; '));
    return { name: `${providers[0]!.name}: ${(payload.sub ?? '').slice(0, MAXIMUM_SUBJECT)}`, grants, digest, expiresAt };
  }
}

/**
 * Uses the token up in the commit of what it buys, where its rule says once.
 * @throws MachineTokenRefused if it was used before
 */
export async function claimMachineToken(
  unit: AuditedUnit,
  claim: { readonly machine: Machine; readonly grant: RuleGrant; readonly csrSpkiSha256: string; readonly maximumUses: number },
  now: Instant,
): Promise<void> {
  const { machine, grant, csrSpkiSha256, maximumUses } = claim;
  if (!grant.singleUse) return;
  const use = { digest: machine.digest, usedBy: csrSpkiSha256, maximumUses, expiresAt: machine.expiresAt };
  if (!(await useMachineToken(unit.queries, use, now))) throw new MachineTokenRefused('replayed', machine.name);
}

const MAXIMUM_SUBJECT = 200;
