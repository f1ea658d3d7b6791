import type { ProxySettings } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { ServedAlpn } from './alpn.ts';
import type { PortDeps, ProxyLimits } from './port-deps.ts';
import type { ParsedSettings } from './proxy-settings.ts';
import type { SeenKeysOptions } from './seen-keys.ts';
import type { Trust } from './trust.ts';

/** Where calls come in and go out: what a plane puts settings in force at. */
export type PlanePorts<Settings extends ParsedSettings> = {
  /** Puts all of the settings in force, or nothing; `commit` is called in the turn of the switch. @throws state-conflict, input-invalid */
  apply(settings: Settings, serverTrust: Trust, commit: () => void): Promise<void>;
  /** Our certificate or the trust in servers has changed. */
  renewWays(serverTrust: Trust): void;
  /** Ends everything within this time, gracefully as far as it lasts. */
  retireAll(withinMs: number): Promise<void>;
};

export type PlaneOptions<Settings extends ParsedSettings> = {
  readonly identity: Pick<StoredIdentity, 'spiffeId' | 'chain' | 'privateKey' | 'roots'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ProxyLimits;
  /** What its ports offer; without it, HTTP/1.1 alone where that is spoken. */
  readonly alpn?: ServedAlpn;
  /** Keys of third parties that are remembered over restarts; without it they are for the life of the process. */
  readonly seen?: SeenKeysOptions;
  /** @throws input-invalid, identity-malformed, der-malformed */
  readonly parse: (wire: ProxySettings) => Settings;
  readonly makePorts: (deps: PortDeps) => PlanePorts<Settings>;
};
