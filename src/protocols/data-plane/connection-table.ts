import type { TLSSocket } from 'node:tls';
import { Problem } from '../../core/problems/problem.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Identity, Peer, ViolationReason } from './peer.ts';
import type { CallContext, RpcMethod } from './rpc-method.ts';
import type { AnyCall, CallGate } from './serve-method.ts';
import { Violation } from './violation.ts';

type Connection = {
  readonly socket: TLSSocket;
  readonly remote: string;
  peer: Peer;
  readonly streams: Set<(reason: unknown) => void>;
};

export type ConnectionTableOptions = {
  readonly dismissal: (holder: Identity) => ViolationReason | null;
  readonly log: Log;
};

/** The live connections of the listener, each with who stands behind it; the gate that every call passes. */
export class ConnectionTable implements CallGate {
  readonly #connections = new Map<string, Connection>();
  readonly #options: ConnectionTableOptions;
  readonly refusals = new Map<string, number>();
  readonly #ofProxy = new Map<string, number>();
  readonly #strangers = { anonymous: 0, refused: 0 };

  constructor(options: ConnectionTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** False if the connection was closed instead: it is gone already, or too many of its kind are open. */
  add(socket: TLSSocket, peer: Peer): boolean {
    const remote = `${socket.remoteAddress}:${socket.remotePort}`;
    if (socket.destroyed || socket.remotePort === undefined) return false;
    const holder = holderOf(peer);
    const isIn =
      holder === null ? this.#addStranger(socket, peer.kind as 'anonymous' | 'refused', remote) : this.#addHolder(socket, holder, remote);
    if (!isIn) return false;
    if (peer.kind === 'lapsed') endAfter(socket, LAPSED_LIFETIME_MS);
    const connection: Connection = { socket, remote, peer, streams: new Set() };
    this.#connections.set(remote, connection);
    socket.once('close', () => {
      if (this.#connections.get(remote) === connection) this.#connections.delete(remote);
    });
    return true;
  }

  /** One data plane that was taken over shall not keep the others out: they would hear of no revocation any more. */
  #addHolder(socket: TLSSocket, { proxyId: ofProxy, spiffeId }: Identity, remote: string): boolean {
    const proxyId = ofProxy ?? spiffeId;
    const open = this.#ofProxy.get(proxyId) ?? 0;
    if (open >= MAXIMUM_OF_A_PROXY) {
      this.#options.log('warn', 'data-plane.too-many-connections', { remote, proxyId, limit: MAXIMUM_OF_A_PROXY });
      socket.destroy();
      return false;
    }
    this.#ofProxy.set(proxyId, open + 1);
    socket.once('close', () => {
      const left = this.#ofProxy.get(proxyId)! - 1;
      if (left === 0) this.#ofProxy.delete(proxyId);
      else this.#ofProxy.set(proxyId, left);
    });
    return true;
  }

  /** Who has no standing may stay for a moment, in a small room: without a certificate to join, with a refused one to learn why. */
  #addStranger(socket: TLSSocket, kind: 'anonymous' | 'refused', remote: string): boolean {
    const limit = STRANGERS[kind];
    if (this.#strangers[kind] >= limit.connections) {
      this.#options.log('warn', 'data-plane.too-many-strangers', { remote, kind, limit: limit.connections });
      socket.destroy();
      return false;
    }
    this.#strangers[kind] += 1;
    endAfter(socket, limit.lifetimeMs);
    socket.once('close', () => {
      this.#strangers[kind] -= 1;
    });
    return true;
  }

  admit(call: AnyCall, { access }: RpcMethod): CallContext {
    const connection = this.#connections.get(call.getPeer());
    if (connection === undefined) throw new Violation('certificate-required');
    const { peer, remote } = connection;
    if (peer.kind === 'refused') throw new Violation(peer.reason, peer.detail);
    if (access === 'anyone') return { remote };
    if (peer.kind === 'anonymous') throw new Violation('certificate-required');
    const holder = peer.kind === 'workload' ? peer.identity : peer.node;
    const dismissed = this.#options.dismissal(holder);
    if (dismissed !== null) throw new Violation(dismissed);
    if (access === 'workload' && peer.kind !== 'lapsed') return { remote, identity: holder };
    if (peer.kind === 'workload') throw new Violation('certificate-unknown', holder.serialHex);
    if (peer.kind === 'lapsed' && access !== 'holder') throw new Violation('certificate-expired');
    if (access === 'probe' && !peer.node.isProbe) throw new Violation('probe-only');
    return { remote, node: peer.node };
  }

  refused(call: AnyCall, { method }: RpcMethod, error: unknown): void {
    const peer = this.#connections.get(call.getPeer())?.peer;
    const holder = peer === undefined ? null : holderOf(peer);
    const node = holder === null ? {} : { proxyId: holder.proxyId, spiffeId: holder.spiffeId };
    const reason = error instanceof Violation ? error.reason : error instanceof Problem ? error.code : 'internal';
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
    const fields = { method: `${method.parent.typeName}/${method.name}`, reason, remote: call.getPeer(), ...node };
    if (reason === 'internal') this.#options.log('error', 'data-plane.call-failed', { ...fields, error });
    else this.#options.log('warn', 'data-plane.call-refused', { ...fields, detail: (error as Error).message });
  }

  track(call: AnyCall, close: (reason: unknown) => void): () => void {
    const streams = this.#connections.get(call.getPeer())?.streams;
    streams?.add(close);
    return () => streams?.delete(close);
  }

  recheck(): void {
    for (const connection of this.#connections.values()) {
      const holder = holderOf(connection.peer);
      const reason = holder === null ? null : this.#options.dismissal(holder);
      if (holder !== null && reason !== null) this.#dismiss(connection, holder, reason);
    }
  }

  /** The streams learn the reason; what is still open shortly after is cut. */
  #dismiss(connection: Connection, node: Identity, reason: ViolationReason): void {
    connection.peer = { kind: 'refused', reason, detail: '' };
    this.#options.log('warn', 'data-plane.connection-dismissed', { reason, proxyId: node.proxyId, spiffeId: node.spiffeId });
    for (const close of connection.streams) close(new Violation(reason));
    setTimeout(() => connection.socket.destroy(), DISMISSAL_GRACE_MS).unref();
  }
}

/** Who stands at the other end by a certificate of ours. */
function holderOf(peer: Peer): Identity | null {
  if (peer.kind === 'workload') return peer.identity;
  return peer.kind === 'node' || peer.kind === 'lapsed' ? peer.node : null;
}

function endAfter(socket: TLSSocket, lifetimeMs: number): void {
  const timer = setTimeout(() => socket.destroy(), lifetimeMs).unref();
  socket.once('close', () => clearTimeout(timer));
}

/** A join takes well under a second, but its issuance may wait for a slow disk; a refusal is told at once. */
const STRANGERS = {
  anonymous: { connections: 256, lifetimeMs: 30_000 },
  refused: { connections: 256, lifetimeMs: 3_000 },
} as const;
/** A renewal is one call; what comes of it opens a connection of its own. */
const LAPSED_LIFETIME_MS = 30_000;
/** Two while a certificate is renewed, and what a bad line left half open until its keep-alive notices. */
const MAXIMUM_OF_A_PROXY = 16;
/** Long enough for the status of a closed stream to leave. */
const DISMISSAL_GRACE_MS = 250;
