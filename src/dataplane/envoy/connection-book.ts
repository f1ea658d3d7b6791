import type { AccessLogName } from '../../core/envoy/access-log-name.ts';
import type { Channel } from '../tls/peer.ts';

/** What is known of one of Envoy's connections that callers opened. */
export type BookedConnection = { readonly endpointId: string; readonly caller: string; readonly channel: Channel };

/**
 * Callers' connections that Envoy has told of and that are not over. Envoy tells of a connection with its first call, or its end; so how many
 * are open is for its gauges to say, and whose they are for this book, as far as it goes.
 */
export class ConnectionBook {
  readonly #open = new Map<string, BookedConnection>();

  /** True if it is new. */
  begin(connection: string, booked: BookedConnection): boolean {
    if (this.#open.has(connection)) return false;
    this.#open.set(connection, booked);
    if (this.#open.size > MAXIMUM_CONNECTIONS) this.#open.delete(this.#open.keys().next().value!);
    return true;
  }

  /** True if it was there. */
  end(connection: string): boolean {
    return this.#open.delete(connection);
  }

  /** Another Envoy numbers its connections from the start. */
  clear(): void {
    this.#open.clear();
  }

  /** What a gauge of so many connections of a chain is made of; whoever is not known is counted as having proved nothing. */
  split({ endpointId, channel }: AccessLogName, count: number): readonly (BookedConnection & { readonly count: number })[] {
    if (channel === 'listener' || channel === 'passthrough' || count <= 0) return [];
    if (channel === 'plaintext') return [{ endpointId, caller: '', channel, count }];
    const sums = new Map<string, BookedConnection & { count: number }>();
    let left = count;
    for (const booked of this.#open.values()) {
      if (booked.endpointId !== endpointId || booked.channel === 'plaintext' || left === 0) continue;
      const key = `${booked.channel} ${booked.caller}`;
      const known = sums.get(key) ?? { ...booked, count: 0 };
      known.count += 1;
      sums.set(key, known);
      left -= 1;
    }
    return [...sums.values(), ...(left > 0 ? [{ endpointId, caller: '', channel, count: left }] : [])];
  }
}

/** Past it the oldest are forgotten, and counted as unproved while they last. */
const MAXIMUM_CONNECTIONS = 20_000;
