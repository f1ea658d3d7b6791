import type { ProxySettings, RevokedSet, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { pause } from '../../platform/clock/pause.ts';
import type { Log } from '../../platform/log/logger.ts';
import { ACCEPTED, type Acknowledgement } from '../link/link-handlers.ts';
import type { ConfigLook, ConfigWatch } from './await-config.ts';

/** Waits that tests shorten. */
export type EnvoyLimits = {
  /** How long Envoy may take to run what it is to run. */
  readonly takenWithinMs: number;
  /** How often it is looked at again after that, while it does not. */
  readonly lookAgainMs: number;
};

export type ConfigKeeperOptions = {
  readonly watch: ConfigWatch;
  readonly limits: EnvoyLimits;
  readonly log: Log;
  readonly bundle: TrustBundle;
  readonly revoked: RevokedSet;
  /** Envoy runs all that it is to run, after it was said that it does not, or was away. */
  readonly onTrueAfterAll: () => void;
};

/** What Envoy is to run, and whether it does. */
export class ConfigKeeper {
  bundle: TrustBundle;
  revoked: RevokedSet;
  /** Of other trust domains, as delivered. */
  federated: readonly TrustBundle[] = [];
  /** Null until there are any. */
  settings: ProxySettings | null = null;
  readonly #options: ConfigKeeperOptions;
  readonly #stopped = new AbortController();
  #again: AbortController | null = null;

  constructor(options: ConfigKeeperOptions) {
    this.#options = options;
    this.bundle = options.bundle;
    this.revoked = options.revoked;
  }

  /** Accepted when Envoy runs it; `unlessAbsent`: or when there is no Envoy, which will get this before anything else when it comes. */
  async taken({ unlessAbsent = false } = {}): Promise<Acknowledgement> {
    const { watch, limits, log } = this.#options;
    this.#again?.abort();
    const look = await watch.until(() => this.#state(), { withinMs: limits.takenWithinMs, unlessAbsent, signal: this.#stopped.signal });
    if (look.kind === 'true' || look.kind === 'overtaken' || (unlessAbsent && look.kind === 'absent')) return ACCEPTED;
    const reason = reasonOf(look);
    log('error', 'change refused', { reason });
    this.lookAgain();
    return { kind: 'refused', reason };
  }

  /** True if nobody answers at Envoy's admin socket. */
  async isAbsent(): Promise<boolean> {
    return this.settings === null || (await this.#options.watch.look(this.#state())).kind === 'absent';
  }

  /** Goes on looking, not often, until Envoy runs it; what was refused is not sent again by itself. */
  lookAgain(): void {
    this.#again?.abort();
    if (this.settings === null || this.#stopped.signal.aborted) return;
    const again = new AbortController();
    this.#again = again;
    void this.#look(again);
  }

  /** Another Envoy starts with nothing, whatever this one had. */
  envoyWentAway(): void {
    this.#options.watch.forget();
    this.lookAgain();
  }

  stop(): void {
    this.#stopped.abort();
    this.#again?.abort();
  }

  async #look(again: AbortController): Promise<void> {
    while (!again.signal.aborted) {
      await pause(this.#options.limits.lookAgainMs, again.signal);
      if (again.signal.aborted) return;
      const { kind } = await this.#options.watch.look(this.#state());
      if (kind !== 'true' || again.signal.aborted) continue;
      again.abort();
      this.#options.onTrueAfterAll();
    }
  }

  #state() {
    const settings = this.settings!;
    // As the control plane chooses them for Envoy.
    const others = this.federated.filter(
      ({ trustDomain, authorities }) => settings.federatedTrustDomains.includes(trustDomain) && authorities.length > 0,
    );
    return { settings, trust: [this.bundle, ...others] as const, revoked: this.revoked };
  }
}

function reasonOf(look: Exclude<ConfigLook, { readonly kind: 'true' | 'overtaken' }>): string {
  return look.kind === 'absent' ? `Envoy is not there: ${look.detail}` : `Envoy: ${look.detail}`;
}
