import type { Socket } from 'node:net';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { beforeServerEnds, callerConnected, callerFailed, countCaller, watchNamedServer, watchReplicas } from '../tls/caller-connection.ts';
import type { Outcome, Unit } from '../tls/counters.ts';
import type { CallGate, CallHop } from './call-gate.ts';
import { serveHttp1 } from './http1-caller.ts';
import { type Http2Calls, serveHttp2Calls } from './http2-calls.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import { heldFor } from '../tls/live-state.ts';
import { makeOriginator, shownTo, trustInServer } from '../tls/originate.ts';
import type { ListeningPort } from './port.ts';
import type { OutboundListener, OutboundSettings } from '../tls/proxy-settings.ts';
import { forwardTcp } from './tcp-forward.ts';
import type { Trust } from '../tls/trust.ts';
import { LONGEST_CALL_MS, Upstream } from './upstream.ts';

/** One way to the endpoint, ready to be put in force: it was made before the settings are acknowledged, so a bad policy is refused. */
export type Way<Settings extends OutboundSettings = OutboundSettings> = {
  readonly settings: Settings;
  readonly upstream: Upstream;
  readonly key: string;
  readonly trustDigest: string;
  readonly streams: Set<Socket>;
};

/** A local port on which the service's own calls to one endpoint arrive. It speaks onwards as the settings say, never weaker. */
export class OutboundPort implements ListeningPort {
  readonly #deps: PortDeps;
  readonly #gate: CallGate;
  readonly #sockets = new Set<Socket>();
  readonly #http2 = new Set<Http2Calls>();
  #way: Way<OutboundListener>;
  #isRetiring = false;

  constructor(deps: PortDeps, way: Way<OutboundListener>) {
    this.#deps = deps;
    this.#way = way;
    const onBroken = (reason: RefusalReason): void => this.#count('call', 'failed', reason);
    this.#gate = { limits: deps.limits, admit: () => this.#hop(), answers: null, isSilent: false, onBroken };
  }

  get settings(): OutboundListener {
    return this.#way.settings;
  }

  /** True if the way in force is just this one, connections included. */
  isOnWay(key: string): boolean {
    return this.#way.key === key;
  }

  /**
   * Calls from now on go the new way. The connections of the old one end within the drain time if it was another way to speak;
   * where only our certificate was renewed, they finish what they carry.
   */
  update(way: Way<OutboundListener>): void {
    const old = this.#way;
    this.#way = way;
    way.upstream.learnFrom(old.upstream);
    if (old.settings.protocol !== way.settings.protocol) this.#endAll(way.settings.drainMs);
    void retireWay(
      old,
      old.settings.digest === way.settings.digest && old.trustDigest === way.trustDigest ? LONGEST_CALL_MS : way.settings.drainMs,
    );
  }

  accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#way.settings.protocol === 'http') {
      serveHttp1(socket, this.#gate);
      return;
    }
    if (this.#way.settings.protocol === 'grpc') {
      const calls = serveHttp2Calls(socket, this.#gate);
      this.#http2.add(calls);
      socket.once('close', () => this.#http2.delete(calls));
      return;
    }
    const way = this.#way;
    way.streams.add(socket);
    socket.once('close', () => way.streams.delete(socket));
    void forwardTcp(socket, { upstream: way.upstream, onFailure: () => {} });
  }

  /** What the open connections speak is of no use on the new way. */
  #endAll(withinMs: number): void {
    const sockets = [...this.#sockets];
    for (const calls of this.#http2) calls.drain();
    setTimeout(() => sockets.forEach((socket) => socket.destroy()), withinMs).unref();
  }

  async retire(withinMs: number): Promise<void> {
    this.#isRetiring = true;
    for (const calls of this.#http2) calls.drain();
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    const timer = setTimeout(() => this.#sockets.forEach((socket) => socket.destroy()), withinMs);
    await Promise.all(closed);
    clearTimeout(timer);
    await this.#way.upstream.retire(withinMs);
  }

  #hop(): CallHop {
    const begunAt = performance.now();
    return {
      kind: 'hop',
      upstream: () => this.#way.upstream,
      addedHeaders: [],
      answers: null,
      stripIdentity: false,
      isRetiring: () => this.#isRetiring,
      explainsFailures: true,
      stalledMs: this.#deps.limits.stalledMs,
      maximumBody: Number.POSITIVE_INFINITY,
      refusesBody: () => false,
      onEnd: (end) => {
        if (end.kind === 'answered') this.#count('call', 'accepted', null);
        else if (end.kind === 'failed') this.#count('call', 'failed', end.reason);
        else if (performance.now() - begunAt > PATIENT_MS) this.#count('call', 'failed', 'timeout');
      },
      onClose() {},
    };
  }

  #count(unit: Unit, outcome: Outcome, reason: RefusalReason | null): void {
    countCaller(this.#deps, this.#way.settings, { unit, outcome, reason });
  }
}

/** @throws the error of OpenSSL for a group or suite that it does not know */
export function makeWay<Settings extends OutboundSettings>(deps: PortDeps, settings: Settings, serverTrust: Trust): Way<Settings> {
  const { live, kept, clock } = deps;
  const { origination, tls: policy, protocol } = settings;
  const { credential } = live.contexts;
  const dial = makeOriginator({
    origination,
    policy,
    protocol,
    credential,
    held: heldFor(live, origination),
    trust: trustInServer(serverTrust, origination),
    kept,
    revoked: () => live.revoked,
    clock,
    watch: watchNamedServer(deps, settings),
  });
  const upstream = new Upstream({
    addresses: settings.upstreams,
    dial,
    patienceMs: ENDPOINT_PATIENCE_MS,
    replicas: {
      settings: settings.replicas,
      watch: watchReplicas(deps, settings),
      host: origination.kind === 'tls' ? origination.serverName : settings.endpointName,
    },
    countsConnections: protocol === 'tcp',
    onConnection: (socket) => callerConnected(deps, settings, socket),
    onEnding: (socket, onEnding) => beforeServerEnds(deps, socket, onEnding),
    onFailure: (error) => callerFailed(deps, settings, error),
  });
  return {
    settings,
    upstream,
    key: wayKey(deps, settings, serverTrust),
    trustDigest: trustInServer(serverTrust, origination).digest,
    streams: new Set(),
  };
}

/** Equal keys, equal connections: a change of anything else needs no new connection. */
export function wayKey({ live }: PortDeps, settings: OutboundSettings, serverTrust: Trust): string {
  const { credential } = live.contexts;
  const own = `${settings.digest} ${settings.replicas.key}`;
  const shown = shownTo(settings.origination);
  if (shown === 'none') return own;
  if (shown === 'held') return `${own} ${heldFor(live, settings.origination)?.digest ?? 'none'}`;
  return `${own} ${credential.digest} ${trustInServer(serverTrust, settings.origination).digest}`;
}

export async function retireWay(way: Way, withinMs: number): Promise<void> {
  const timer = setTimeout(() => way.streams.forEach((socket) => socket.destroy()), withinMs).unref();
  await way.upstream.retire(withinMs);
  if (way.streams.size === 0) clearTimeout(timer);
}

/** The other replicas were tried by then, and all of them are away. */
const ENDPOINT_PATIENCE_MS = 1_500;
/** A caller that leaves sooner changed its mind; one that leaves later gave up waiting. */
const PATIENT_MS = 2_000;
