import { HOUR_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { CertificateStanding } from '../../core/x509/judge-status.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { askStatus } from '../../platform/network/ask-status.ts';
import { makeNameResolver } from '../../platform/network/name-resolver.ts';
import type { OutsidePolicy } from '../../platform/network/outside-policy.ts';
import { callAtRetirement } from './certificate-end.ts';

/** A certificate with that of its issuer, both of a verified path. */
export type StatusSubject = { readonly leaf: Certificate; readonly issuer: Certificate };

/** Asks the CA; null: the certificate names nobody who could be asked. */
export type AskCa = (subject: StatusSubject, policy: OutsidePolicy, now: Instant) => Promise<CertificateStanding | null>;

type Held = {
  standing: CertificateStanding;
  /** From then on it is asked anew, beside what goes on. */
  refreshAt: Instant;
  /** From then on it says nothing any more. */
  until: Instant;
  asking: Promise<CertificateStanding> | null;
  readonly watchers: Set<() => void>;
  cancel: () => void;
};

/**
 * What CAs say of certificates outside of the trust domain, kept for as long as they said. One question is under way for a certificate at a time, however many
 * connections are made, and none at all while its answer is fresh. While connections are open it is asked again, so that they end when it is revoked.
 */
export class CertificateStatuses {
  readonly #clock: Clock;
  readonly #ask: AskCa;
  readonly #soonestMs: number;
  readonly #held = new Map<string, Held>();

  constructor(clock: Clock, ask: AskCa = askByNetwork, soonestMs = SOONEST_MS) {
    this.#clock = clock;
    this.#ask = ask;
    this.#soonestMs = soonestMs;
  }

  /** What is known now; an answer that gets old is asked for anew, and nobody waits. Null: nothing is known. */
  known(subject: StatusSubject, policy: OutsidePolicy): CertificateStanding | null {
    const held = this.#held.get(keyOf(subject));
    const now = this.#clock.now();
    if (held === undefined || now >= held.until) return null;
    if (now >= held.refreshAt) void this.ask(subject, policy);
    return held.standing;
  }

  /** Asks, or joins who asks already. Never rejects. */
  ask(subject: StatusSubject, policy: OutsidePolicy): Promise<CertificateStanding> {
    const held = this.#hold(subject);
    held.asking ??= this.#askAnew(subject, policy).finally(() => (held.asking = null));
    return held.asking;
  }

  /**
   * Takes an answer that the server stapled. It does not clear what was found revoked: it may be of before. Nor does it put off the next question by being
   * shown again, or a server whose certificate fell since would show the last good one until that ends, and the CA would never be asked.
   */
  learn(subject: StatusSubject, standing: CertificateStanding): void {
    const held = this.#hold(subject);
    if (standing.kind === 'revoked') this.#keep(held, standing);
    if (standing.kind !== 'good' || standing.nextUpdate === null || held.standing.kind === 'revoked') return;
    if (held.standing.kind === 'unknown' || standing.nextUpdate > held.until) this.#keep(held, standing);
  }

  /** Calls back once when the certificate is found to be revoked, and asks for that while somebody wants to know; returns what ends it. */
  watch(subject: StatusSubject, policy: OutsidePolicy, onRevoked: () => void): () => void {
    const held = this.#hold(subject);
    held.watchers.add(onRevoked);
    if (held.watchers.size === 1) this.#askInTime(held, subject, policy);
    return () => {
      held.watchers.delete(onRevoked);
      if (held.watchers.size === 0) held.cancel();
    };
  }

  async #askAnew(subject: StatusSubject, policy: OutsidePolicy): Promise<CertificateStanding> {
    const standing = await this.#ask(subject, policy, this.#clock.now()).catch((error: Error) => unknown(error.message));
    const held = this.#hold(subject);
    this.#keep(held, standing ?? unknown('it names nobody who could be asked'));
    return held.standing;
  }

  #keep(held: Held, standing: CertificateStanding): void {
    const now = this.#clock.now();
    const saysStill = held.standing.kind !== 'unknown' && now < held.until;
    if (standing.kind === 'unknown' && saysStill) {
      held.refreshAt = now + RETRY_MS;
      return;
    }
    const until =
      standing.kind === 'unknown'
        ? now + RETRY_MS
        : standing.kind === 'revoked'
          ? Number.POSITIVE_INFINITY
          : (standing.nextUpdate ?? now + UNDATED_MS);
    held.standing = standing;
    held.until = until;
    held.refreshAt = now + Math.max(this.#soonestMs, Math.min(REFRESH_MS, (until - now) / 2));
    if (standing.kind !== 'revoked') return;
    const watchers = [...held.watchers];
    held.watchers.clear();
    held.cancel();
    for (const onRevoked of watchers) onRevoked();
  }

  #askInTime(held: Held, subject: StatusSubject, policy: OutsidePolicy): void {
    held.cancel();
    held.cancel = callAtRetirement(this.#clock, held.refreshAt, held.refreshAt, () => {
      void this.ask(subject, policy).then(() => {
        if (held.watchers.size > 0) this.#askInTime(held, subject, policy);
      });
    });
  }

  #hold(subject: StatusSubject): Held {
    const key = keyOf(subject);
    const known = this.#held.get(key);
    if (known !== undefined) return known;
    this.#makeRoom();
    const made: Held = {
      standing: unknown('nobody was asked yet'),
      refreshAt: 0,
      until: 0,
      asking: null,
      watchers: new Set(),
      cancel: ignore,
    };
    this.#held.set(key, made);
    return made;
  }

  #makeRoom(): void {
    if (this.#held.size < MAXIMUM_HELD) return;
    const unwatched = this.#held.entries().find(([, { watchers }]) => watchers.size === 0);
    if (unwatched !== undefined) this.#held.delete(unwatched[0]);
  }
}

function askByNetwork(subject: StatusSubject, policy: OutsidePolicy, now: Instant): Promise<CertificateStanding | null> {
  return askStatus({ resolver: makeNameResolver([]), policy, longestList: LONGEST_LIST }, subject, now);
}

function unknown(detail: string): CertificateStanding {
  return { kind: 'unknown', detail };
}

/** One issuer gives a serial once. */
function keyOf({ leaf, issuer }: StatusSubject): string {
  return `${issuer.spkiSha256} ${leaf.serialHex}`;
}

function ignore(): void {}

/** How late a revocation may be learnt, though the last answer would last longer. */
const REFRESH_MS = HOUR_MS;
/** A CA whose answers end soon is asked no oftener. */
const SOONEST_MS = 10_000;
/** For how long a responder that names no next update is believed. */
const UNDATED_MS = 10 * MINUTE_MS;
/** A responder that is away is not asked at each connection. */
const RETRY_MS = MINUTE_MS;
/** Some hundred thousand entries. A longer one would hold up the traffic beside it while it is read. */
const LONGEST_LIST = 4 * 1024 * 1024;
/** Third parties are few; each has a chain of two or three. */
const MAXIMUM_HELD = 1_000;
