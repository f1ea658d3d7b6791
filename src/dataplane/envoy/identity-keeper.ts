import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import { type Credential, openCredential } from '../tls/credential.ts';
import { HeldStaple } from '../tls/held-staple.ts';
import { emptyRevokedIndex, type RevokedIndex } from '../tls/revoked-index.ts';
import { putIdentity } from './companion-secrets.ts';
import { type HeldSecrets, secretNames } from './held-secrets.ts';

/** Our key, certificate and staple, where Envoy has them from. */
export class IdentityKeeper {
  readonly #deps: { readonly secrets: HeldSecrets; readonly clock: Clock };
  readonly #staple: HeldStaple;
  #credential: Credential;
  #revoked = emptyRevokedIndex;

  /** @throws der-malformed; state-corrupt if the chain is empty */
  constructor(identity: StoredIdentity, deps: { readonly secrets: HeldSecrets; readonly clock: Clock; readonly log: Log }) {
    this.#deps = deps;
    this.#staple = new HeldStaple(deps.log);
    this.#credential = openCredential(identity);
    this.#put();
  }

  get credential(): Credential {
    return this.#credential;
  }

  /** Returns until when it is stapled. @throws input-invalid, der-malformed */
  takeStaple(response: Uint8Array): Instant {
    const until = this.#staple.take(this.#deps.clock.now(), response, this.#credential);
    this.#put();
    return until;
  }

  /** A staple that says good of what is revoked is not shown any more. */
  heardRevoked(revoked: RevokedIndex): void {
    this.#revoked = revoked;
    this.#put();
  }

  /** Shows another certificate; `untilServed` says when it is served. The old one is back if that throws, or if Envoy refuses it. @throws state-conflict */
  async replace(identity: StoredIdentity, untilServed: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const before = this.#credential;
    this.#credential = openCredential(identity);
    const settled = new AbortController();
    try {
      const refused = this.#refusalOf(this.#put(), settled.signal);
      await Promise.race([untilServed(settled.signal), refused]);
    } catch (error) {
      this.#credential = before;
      this.#put();
      throw error;
    } finally {
      settled.abort();
    }
  }

  #put(): string {
    const { secrets, clock } = this.#deps;
    const staple = this.#staple.octetsFor(this.#credential, { now: clock.now(), revoked: this.#revoked });
    return putIdentity(secrets, this.#credential, staple);
  }

  /** Rejects if an Envoy refuses this version. */
  #refusalOf(version: string, signal: AbortSignal): Promise<never> {
    const { promise, reject } = Promise.withResolvers<never>();
    const forget = this.#deps.secrets.onAnswer((answer) => {
      if (answer.name === secretNames.identity && answer.version === version && answer.refusal !== null)
        reject(new Problem('state-conflict', `Cannot serve certificate: Envoy refused it: ${answer.refusal}`));
    });
    signal.addEventListener('abort', forget, { once: true });
    return promise;
  }
}
