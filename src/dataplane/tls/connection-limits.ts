import type { Inbound } from '../../core/messages/generated/countersign/v1/settings_pb.ts';

/** What keeps a data plane alive whoever comes, so it holds in every mode. */
export type ConnectionLimits = {
  /** Open at a time. */
  readonly maximumConnections: number;
  /** Of one address, begun and not admitted yet. */
  readonly handshakesPerAddress: number;
};

export function parseConnectionLimits({ maximumConnections, handshakesPerAddress }: Inbound): ConnectionLimits {
  return {
    maximumConnections: maximumConnections || DEFAULT_CONNECTIONS,
    handshakesPerAddress: handshakesPerAddress || DEFAULT_HANDSHAKES,
  };
}

/** Below what a listening socket takes, so that whoever is refused is refused with a reason. Each costs some 100 kB with TLS. */
const DEFAULT_CONNECTIONS = 16_000;
/** A core shakes some five hundred hands a second: of one machine behind which many callers are, more do not get on at once either. */
const DEFAULT_HANDSHAKES = 1_000;
