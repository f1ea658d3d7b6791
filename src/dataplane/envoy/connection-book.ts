import type { AccessLogName } from '../../core/envoy/access-log-name.ts';
import type { CountedChannel } from '../tls/counters.ts';

/** What is known of one of Envoy's connections that callers opened. */
export type BookedConnection = { readonly endpointId: string; readonly caller: string; readonly channel: CountedChannel };

/**
 * Callers' connections that Envoy has told of and that are not over. Envoy tells of a connection with its first call, or its end; so how many
 * are open is for its gauges to say, and whose they are for this book, as far as it goes.
 */
export class ConnectionBook {
  readonly #open = new Map<string, BookedConnection>();
  /** That ended lately: of a connection's end Envoy may tell before its calls, since these are two logs. */
  readonly #ended = new Set<string>();

  /** How many were not known at the last looks, by endpoint. */
  readonly #unknown = new Map<string, readonly number[]>();

  isOpen(connection: string): boolean {
    return this.#open.has(connection);
  }

  /** True if it is new. */
  begin(connection: string, booked: BookedConnection): boolean {
    if (this.#open.has(connection) || this.#ended.has(connection)) return false;
    this.#open.set(connection, booked);
    if (this.#open.size > MAXIMUM_CONNECTIONS) this.#open.delete(this.#open.keys().next().value!);
    return true;
  }

  end(connection: string): void {
    this.#open.delete(connection);
    this.#ended.add(connection);
    if (this.#ended.size > MAXIMUM_CONNECTIONS) this.#ended.delete(this.#ended.values().next().value!);
  }

  /** Another Envoy numbers its connections from the start. */
  clear(): void {
    this.#open.clear();
    this.#ended.clear();
  }

  /**
   * What a gauge of so many connections of a chain is made of. Who is not known is counted as having proved nothing, once that goes on: a
   * connection that just came is told of a moment later. Behind a door that demands a certificate nobody is counted so: Envoy let them in.
   */
  split({ endpointId, channel }: AccessLogName, count: number): readonly (BookedConnection & { readonly count: number })[] {
    if (channel === 'listener' || count <= 0) return [];
    if (channel === 'plaintext' || channel === 'passthrough') return [{ endpointId, caller: '', channel, count }];
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
    const before = this.#unknown.get(endpointId) ?? [];
    this.#unknown.set(endpointId, [...before, left].slice(-LOOKS));
    const lasting = channel === 'mtls' || before.length < LOOKS ? 0 : Math.min(left, ...before);
    return [...sums.values(), ...(lasting > 0 ? [{ endpointId, caller: '', channel, count: lasting }] : [])];
  }
}

const LOOKS = 2;
/** Past it the oldest are forgotten, and counted as unproved while they last. */
const MAXIMUM_CONNECTIONS = 20_000;
