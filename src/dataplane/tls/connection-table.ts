import { create } from '@bufbuild/protobuf';
import { type OpenConnections, OpenConnectionsSchema } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { type CountedChannel, type Side, sides, wireChannels } from './counters.ts';
import type { ProvedIdentity } from './peer.ts';
import type { RevokedIndex } from './revoked-index.ts';

/** Why an open connection is looked at again. `end`: of the exception under which it is open. */
export type Cause = 'settings' | 'trust' | 'revocation' | 'end';

/** An open connection to or from a peer, as the table sees it. */
export type OpenConnection = {
  readonly side: Side;
  readonly endpointId: string;
  /** For telemetry: the proved caller, or empty. */
  readonly caller: string;
  readonly channel: CountedChannel;
  /** The identity that the other end proved. */
  readonly identity: ProvedIdentity | null;
  /** Name of the exception under which it is open; such a one is in no count, for nobody waits for its end. */
  readonly exception?: string | null;
  /** Looks at what is in force now and closes the connection, at once or gracefully, where it is not allowed any more. */
  rejudge(cause: Cause): void;
};

/** All open connections, found by certificate and identity without a walk over all. Whoever adds one removes it at its close. */
export class ConnectionTable {
  readonly #all = new Set<OpenConnection>();
  readonly #byRevocationKey = new Map<string, Set<OpenConnection>>();
  readonly #byIdentity = new Map<string, Set<OpenConnection>>();
  readonly #counts = new Map<string, OpenConnections>();
  readonly #atEndpoints = new Map<string, number>();

  add(connection: OpenConnection): void {
    this.#all.add(connection);
    this.#count(connection, 1);
    this.#countAtEndpoint(connection, 1);
    const { identity } = connection;
    if (identity === null) return;
    insert(this.#byIdentity, identity.spiffeId, connection);
    for (const key of identity.revocationKeys) insert(this.#byRevocationKey, key, connection);
  }

  remove(connection: OpenConnection): void {
    if (!this.#all.delete(connection)) return;
    this.#count(connection, -1);
    this.#countAtEndpoint(connection, -1);
    const { identity } = connection;
    if (identity !== null) {
      drop(this.#byIdentity, identity.spiffeId, connection);
      for (const key of identity.revocationKeys) drop(this.#byRevocationKey, key, connection);
    }
  }

  /** Changes what the connection is counted as. */
  reclassify(connection: OpenConnection, change: () => void): void {
    if (!this.#all.has(connection)) return change();
    this.#count(connection, -1);
    change();
    this.#count(connection, 1);
  }

  /** Looks again at the connections of what is revoked or suspended now. */
  rejudgeRevoked(index: RevokedIndex): void {
    for (const [key, connections] of this.#byRevocationKey) {
      if (index.certificates.has(key)) for (const connection of connections) connection.rejudge('revocation');
    }
    for (const [identity, connections] of this.#byIdentity) {
      if (index.suspended.has(identity)) for (const connection of connections) connection.rejudge('revocation');
    }
  }

  rejudgeAll(cause: Cause): void {
    for (const connection of this.#all) connection.rejudge(cause);
  }

  /** How many are open now. What fell to zero since the last call is said once, so that nobody goes on believing the number before. */
  openCounts(): OpenConnections[] {
    const open = [...this.#counts.values()].map((counted) => ({ ...counted }));
    for (const [key, { count }] of this.#counts) if (count === 0) this.#counts.delete(key);
    return open;
  }

  /** Of callers, by endpoint, those under an exception included. */
  openAtEndpoints(): ReadonlyMap<string, number> {
    return new Map(this.#atEndpoints);
  }

  #countAtEndpoint({ side, endpointId }: OpenConnection, change: 1 | -1): void {
    if (side !== 'receiver') return;
    const count = (this.#atEndpoints.get(endpointId) ?? 0) + change;
    if (count === 0) this.#atEndpoints.delete(endpointId);
    else this.#atEndpoints.set(endpointId, count);
  }

  #count({ side, endpointId, caller, channel, exception = null }: OpenConnection, change: 1 | -1): void {
    if (exception !== null) return;
    const key = `${side} ${endpointId} ${caller} ${channel}`;
    const known =
      this.#counts.get(key) ?? create(OpenConnectionsSchema, { side: sides[side], endpointId, caller, channel: wireChannels[channel] });
    known.count += change;
    this.#counts.set(key, known);
  }
}

function insert(index: Map<string, Set<OpenConnection>>, key: string, connection: OpenConnection): void {
  const known = index.get(key);
  if (known === undefined) index.set(key, new Set([connection]));
  else known.add(connection);
}

function drop(index: Map<string, Set<OpenConnection>>, key: string, connection: OpenConnection): void {
  const known = index.get(key);
  known?.delete(connection);
  if (known?.size === 0) index.delete(key);
}
