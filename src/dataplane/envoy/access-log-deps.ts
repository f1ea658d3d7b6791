import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Counters } from '../tls/counters.ts';
import type { ProxyPorts } from '../tls/proxy-settings.ts';
import type { RevokedIndex } from '../tls/revoked-index.ts';
import type { PeerJudge } from './judge-peer.ts';
import type { LogLedger } from './log-ledger.ts';
import type { OwnEnds } from './own-ends.ts';

/** What is known beside the logs of an Envoy, and where they count. */
export type AccessLogDeps = {
  readonly settings: () => ProxyPorts | null;
  readonly revoked: () => RevokedIndex;
  readonly peers: PeerJudge;
  /** The generation that was in force then. */
  readonly generationAt: (at: Instant) => bigint;
  /** The ends of our own handshakes, which are no traffic. */
  readonly own: Pick<OwnEnds, 'has' | 'take'>;
  /** Told of every entry, whatever it says. */
  readonly ledger: Pick<LogLedger, 'callCame' | 'connectionCame'>;
  /** Where something counts that happened then. */
  readonly countersAt: (at: Instant) => Counters;
  readonly clock: Clock;
  readonly log: Log;
};
