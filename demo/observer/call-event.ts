/** Who a call is from: a service of the fleet, the impostor, or the holder of a stolen key that measures revocation. */
export type CallRole = 'service' | 'impostor' | 'thief';

/** How a call reached its origin: over a TCP socket, over the Unix socket behind a sidecar, or over the origin's own TLS. */
export type Transport = 'tcp' | 'unix' | 'tls';

/** One line of the observer's file. Times are epoch milliseconds of one machine's clock. */
export type CallEvent =
  | {
      readonly event: 'begun';
      readonly at: number;
      readonly id: string;
      readonly role: CallRole;
      readonly caller: string;
      readonly endpoint: string;
      readonly by: string;
      readonly detail?: string;
    }
  | {
      readonly event: 'received';
      readonly at: number;
      readonly id: string;
      readonly endpoint: string;
      readonly by: string;
      readonly transport: Transport;
      /** The identity header as the origin read it, proved or not, or null without one. */
      readonly identity: string | null;
    }
  | {
      readonly event: 'ended';
      readonly at: number;
      readonly id: string;
      readonly role: CallRole;
      readonly caller: string;
      readonly endpoint: string;
      readonly by: string;
      /** `ok`, or why the call failed. */
      readonly outcome: string;
    };

/** Reads one line; null for a line that is no event, such as the torn last line of a killed writer. */
export function parseCallEvent(line: string): CallEvent | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null || !('event' in value) || !('at' in value) || !('id' in value)) return null;
    return value.event === 'begun' || value.event === 'received' || value.event === 'ended' ? (value as CallEvent) : null;
  } catch {
    return null;
  }
}
