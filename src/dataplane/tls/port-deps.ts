import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { CertificateStatuses } from './certificate-statuses.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { Counters, Unit } from './counters.ts';
import type { Elsewhere } from './shared-use.ts';
import type { KeptVerdicts } from './kept-verdicts.ts';
import type { LiveState } from './live-state.ts';
import { callerOf, type Peer } from './peer.ts';
import type { SeenKeys } from './seen-keys.ts';

/** What every port of the proxy shares. */
export type PortDeps = {
  readonly live: Readonly<LiveState>;
  readonly kept: KeptVerdicts;
  readonly table: ConnectionTable;
  readonly counters: Counters;
  readonly elsewhere: Elsewhere;
  readonly seenKeys: SeenKeys;
  /** Of certificates outside of the trust domain. */
  readonly statuses: CertificateStatuses;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ProxyLimits;
};

/** Waits that tests shorten. */
export type ProxyLimits = {
  /** How long the beginning of a connection may take; longer is a slow line no more. */
  readonly firstOctetsMs: number;
  /** In protocols such as MySQL's the server speaks first, so silence on a plaintext port of raw TCP means that it is awaited. */
  readonly serverFirstMs: number;
  /** Of the head of a call, and of a new connection until its first one. */
  readonly headMs: number;
  /** How long a call's body may stand still for want of its sender or its reader. */
  readonly stalledMs: number;
};

export const defaultLimits: ProxyLimits = { firstOctetsMs: 10_000, serverFirstMs: 1_000, headMs: 15_000, stalledMs: 300_000 };

export type RefusalFacts = {
  readonly endpointId: string;
  readonly endpointName: string;
  readonly peer: Peer;
  readonly reason: RefusalReason;
  readonly firstOctetsSha256: Buffer;
  readonly remote: string;
  /** Octets that went to the service before. */
  readonly octetsForwarded: number;
  readonly unit: Unit;
  readonly detail?: string;
};

/** Counts, reports and logs a refusal. The peer is told nothing. */
export function recordRefusal({ counters, clock, log, live }: PortDeps, facts: RefusalFacts): void {
  const { endpointId, peer, reason, firstOctetsSha256, unit, octetsForwarded } = facts;
  const caller = callerOf(peer);
  const { generation } = live;
  counters.count({ side: 'receiver', endpointId, caller, generation, channel: peer.channel, unit, outcome: 'refused', reason });
  const { certificate, resumed } = peer;
  counters.refuse({ endpointId, at: clock.now(), firstOctetsSha256, reason, caller, certificate, resumed, octetsForwarded });
  log('warn', `${unit} refused`, {
    endpoint: facts.endpointName,
    reason,
    caller,
    remote: facts.remote,
    resumed,
    serial: certificate === null ? '' : Buffer.from(certificate.serial).toString('hex'),
    firstOctetsSha256: firstOctetsSha256.toString('hex'),
    detail: facts.detail ?? '',
  });
}
