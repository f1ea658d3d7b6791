import type { Clock } from '../../platform/clock/clock.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import type { LinkHandlers } from './link-handlers.ts';

/** What a link is opened with. */
export type LinkOptions = {
  readonly state: StateDirectory;
  readonly control: HostPort;
  readonly handlers: LinkHandlers;
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1); Math.random if not given. Spreads reconnects and renewals. */
  readonly random?: () => number;
};
