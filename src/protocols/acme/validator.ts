import { createHash } from 'node:crypto';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { recordEntry } from '../../control/audit/record-entry.ts';
import { HOUR_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { NameResolver } from '../../platform/network/name-resolver.ts';
import type { OutsidePolicy } from '../../platform/network/outside-policy.ts';
import { actorOfAccount } from './account.ts';
import type { AcmeSettings } from './acme-settings.ts';
import { type Authorization, orderedName } from './authorization.ts';
import { findAuthorization, recordTry, takeDueValidations } from './authorization-store.ts';
import { checkCaa } from './check-caa.ts';
import type { ChallengeType } from './challenge-type.ts';
import type { Chaos } from './chaos.ts';
import type { KnownAccounts } from './known-accounts.ts';
import { AcmeProblem, toDocument } from './problems.ts';
import type { Proof } from './proof.ts';
import { proveByAccountLabel } from './prove-by-account-label.ts';
import { proveByDns } from './prove-by-dns.ts';
import { proveByHttp } from './prove-by-http.ts';
import { proveByPersistentRecord } from './prove-by-persistent-record.ts';
import { proveByTlsAlpn } from './prove-by-tls-alpn.ts';
import type { AcmeUrls } from './urls.ts';

export type ValidatorDeps = {
  readonly database: AuditedDatabase;
  readonly accounts: KnownAccounts;
  readonly settings: AcmeSettings;
  readonly urls: AcmeUrls;
  readonly chaos: Chaos;
  readonly clock: Clock;
  readonly log: Log;
  readonly resolver: NameResolver;
  readonly policy: OutsidePolicy;
  /** Before each try, the first one too. */
  readonly pausesMs: readonly number[];
};

/** Works on chosen challenges until each is valid or invalid. What a process leaves undone, the next `resume` of any takes over. */
export class Validator implements AsyncDisposable {
  readonly #deps: ValidatorDeps;
  readonly #running = new Map<string, Promise<Authorization | null>>();
  readonly #stopping = new AbortController();

  constructor(deps: ValidatorDeps) {
    this.#deps = deps;
  }

  /** Resolves when it is decided, with what was recorded; null if it is to be read. Never rejects. */
  start(authorization: Authorization & { readonly challenge: ChallengeType }): Promise<Authorization | null> {
    const running =
      this.#running.get(authorization.id) ??
      this.#validate(authorization)
        .catch((err: unknown) => {
          this.#deps.log('error', 'acme validation failed inside', { authorizationId: authorization.id, err });
          return null;
        })
        .finally(() => this.#running.delete(authorization.id));
    this.#running.set(authorization.id, running);
    return running;
  }

  /** As `start`, of what this process works on; null if it does not work on it. */
  decided(authorizationId: string): Promise<Authorization | null> | null {
    return this.#running.get(authorizationId) ?? null;
  }

  /** Takes over what nobody works on any more. */
  async resume(now: Instant): Promise<void> {
    if (this.#running.size >= MAXIMUM_RUNNING) return;
    const due = await this.#deps.database.commit((unit) => takeDueValidations(unit.queries, now, now + LEASE_MS, MAXIMUM_TAKEN));
    for (const { challenge, ...rest } of due) if (challenge !== null) void this.start({ ...rest, challenge });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running.values());
  }

  async #validate(authorization: Authorization & { readonly challenge: ChallengeType }): Promise<Authorization | null> {
    const { chaos, pausesMs, database, clock } = this.#deps;
    await this.#pause(chaos.validationDelayMs());
    for (const [at, pauseMs] of pausesMs.entries()) {
      await this.#pause(pauseMs);
      if (this.#stopping.signal.aborted) return null;
      // It may have been deactivated, or decided by another process, since.
      if (at > 0 && (await findAuthorization(database.queries, authorization.id))?.status !== 'pending') return null;
      const proof = await this.#prove(authorization);
      const last = at === pausesMs.length - 1;
      const recorded = await this.#record(authorization, proof, last, clock.now());
      if (recorded?.status !== 'pending') return recorded;
    }
    return null;
  }

  async #prove(authorization: Authorization & { readonly challenge: ChallengeType }): Promise<Proof> {
    const { accounts, settings, resolver, policy, urls, clock } = this.#deps;
    const account = await accounts.find(authorization.accountId);
    if (account === null || account.status !== 'valid') return { kind: 'failed', type: 'unauthorized', detail: 'the account is not valid' };
    const text = `${authorization.token}.${account.thumbprint}`;
    const expected = { text, sha256: createHash('sha256').update(text).digest() };
    const parties = { accountUrl: urls.account(account.id), issuers: settings.caaIdentities, now: clock.now() };
    const proof = await provers[authorization.challenge]({ resolver, policy, ports: settings.ports, ...parties }, authorization, expected);
    if (proof.kind === 'failed' || authorization.identifier.type !== 'dns') return proof;
    const asker = { identities: settings.caaIdentities, accountUrl: urls.account(account.id), method: authorization.challenge };
    const forbidden = await checkCaa(resolver, { name: authorization.identifier.value, wildcard: authorization.wildcard }, asker);
    return forbidden === null ? proof : { kind: 'failed', type: 'caa', detail: forbidden };
  }

  /** What became of it; null if somebody else decided meanwhile. */
  async #record(
    authorization: Authorization & { readonly challenge: ChallengeType },
    proof: Proof,
    last: boolean,
    now: Instant,
  ): Promise<Authorization | null> {
    const { id, accountId, environment, region, challenge } = authorization;
    return this.#deps.database.commit(async (unit) => {
      if (proof.kind === 'failed' && !last) {
        const error = errorOf(proof);
        const isKept = await recordTry(unit.queries, id, { status: 'pending', error, dueAt: now + LEASE_MS });
        return isKept ? { ...authorization, error } : null;
      }
      const decision =
        proof.kind === 'proven'
          ? ({ status: 'valid', validatedAt: now, expiresAt: Math.min(now + VALID_FOR_MS, proof.until ?? Infinity) } as const)
          : ({ status: 'invalid', error: errorOf(proof) } as const);
      if (!(await recordTry(unit.queries, id, decision))) return null;
      const name = orderedName(authorization);
      const outcome =
        proof.kind === 'proven' ? { address: proof.address } : { error: proof.type, detail: proof.detail.slice(0, MAXIMUM_DETAIL) };
      recordEntry(unit, {
        type: proof.kind === 'proven' ? 'acme-authorization.validated' : 'acme-authorization.refused',
        at: now,
        environment,
        region,
        actor: actorOfAccount({ id: accountId }),
        data: { authorizationId: id, accountId, name, challenge, ...outcome },
      });
      return { ...authorization, error: null, ...decision };
    });
  }

  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#stopping;
    if (milliseconds === 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    const stop = (): void => (clearTimeout(timer), resolve());
    signal.addEventListener('abort', stop, { once: true });
    await promise;
    signal.removeEventListener('abort', stop);
  }
}

const provers = {
  'http-01': proveByHttp,
  'tls-alpn-01': proveByTlsAlpn,
  'dns-01': proveByDns,
  'dns-account-01': proveByAccountLabel,
  'dns-persist-01': proveByPersistentRecord,
} as const;

function errorOf({ type, detail }: Extract<Proof, { kind: 'failed' }>) {
  return toDocument(new AcmeProblem(type, detail.slice(0, MAXIMUM_DETAIL)));
}

/** RFC 8659 has CAA asked at most eight hours before the issuance, and it is asked with the proof. */
const VALID_FOR_MS = 8 * HOUR_MS;
/** Longer than one try can take. */
export const LEASE_MS = MINUTE_MS;
const MAXIMUM_TAKEN = 100;
const MAXIMUM_RUNNING = 1_000;
const MAXIMUM_DETAIL = 400;
