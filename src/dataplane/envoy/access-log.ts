import type { StreamAccessLogsMessage } from '../../core/messages/generated/envoy/service/accesslog/v3/als_pb.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { outcomeOf } from '../tls/admit-excepted.ts';
import type { Counters, Unit } from '../tls/counters.ts';
import { isProbe, judgeConnection, modeFor, type Verdict } from '../tls/judge-connection.ts';
import { callerOf, type Peer, plaintextPeer } from '../tls/peer.ts';
import type { InboundListener, OutboundListener, ProxyPorts } from '../tls/proxy-settings.ts';
import type { AccessLogDeps } from './access-log-deps.ts';
import { CarriedLog } from './carried-log.ts';
import { ConnectionBook } from './connection-book.ts';
import { callRefusal, handshakeReason, hasLeft, streamReason, upstreamReason } from './failure-words.ts';
import { judgePeer } from './judge-peer.ts';
import { type CallFacts, type ConnectionFacts, type LogFacts, readCallEntry, readConnectionEntry } from './log-entry.ts';
import { LongCalls } from './long-calls.ts';
import { indexPorts, type PortIndex } from './port-index.ts';

/**
 * What Envoy's access logs say, as the same telemetry that a native proxy makes: who came, by which channel, and what enforcement would do
 * or did. The verdict on whoever came is ours, by the code that judges connections of the native proxy; whether something was refused is Envoy's to say.
 */
export class AccessLog {
  readonly book = new ConnectionBook();
  readonly #deps: AccessLogDeps;
  readonly #carried: CarriedLog;
  readonly #long = new LongCalls();
  #indexed: { readonly of: ProxyPorts | null; readonly index: PortIndex } = { of: null, index: indexPorts(null) };

  constructor(deps: AccessLogDeps) {
    this.#deps = deps;
    this.#carried = new CarriedLog(this.book, deps);
  }

  /** Another Envoy numbers its connections from the start. */
  clear(): void {
    this.book.clear();
    this.#long.clear();
  }

  take({ logEntries }: StreamAccessLogsMessage): void {
    if (logEntries.case === 'httpLogs') {
      for (const entry of logEntries.value.logEntry) {
        const facts = readCallEntry(entry);
        this.#deps.ledger.callCame(facts?.endedAt ?? null);
        if (facts !== null) this.#takeCall(facts);
      }
    } else if (logEntries.case === 'tcpLogs') {
      for (const entry of logEntries.value.logEntry) {
        const facts = readConnectionEntry(entry);
        const { own, ledger } = this.#deps;
        ledger.connectionCame();
        if (facts !== null && !(facts.isOver ? own.take(facts.remote) : own.has(facts.remote))) this.#takeConnection(facts);
      }
    }
  }

  #takeCall(facts: CallFacts): void {
    const { chain } = facts;
    if (chain === null || this.#deps.own.has(facts.remote)) return;
    const counts = this.#long.counts(facts) && !hasLeft(facts);
    if (chain.side === 'outbound') {
      const port = this.#outboundOf(chain.endpointId);
      if (port !== null && counts) this.#countCallOut(port, facts);
      return;
    }
    const port = this.#inboundOf(chain.endpointId);
    if (port === null) return;
    const peer = this.#judge(port, facts);
    if (isProbe(peer, port)) return;
    const verdict = this.#verdictOn(port, peer);
    this.#countConnectionIn(port, { facts, peer, verdict });
    if (counts) this.#countCallIn(port, { facts, peer, verdict });
  }

  #countCallIn(port: InboundListener, { facts, peer, verdict }: Judged<CallFacts>): void {
    const refusal = callRefusal(facts);
    if (refusal !== null) {
      this.#refuse(port, { facts, peer, reason: refusal, unit: 'call' });
      return;
    }
    const failed = upstreamReason(facts);
    if (failed !== null) this.#count(port, { facts, peer, unit: 'call', outcome: 'failed', reason: failed });
    else this.#count(port, { facts, peer, unit: 'call', ...passed(verdict) });
  }

  #countCallOut(port: OutboundListener, facts: CallFacts): void {
    const reason = upstreamReason(facts);
    const { endpointId, origination } = port;
    const caller = this.#deps.settings()?.spiffeId ?? '';
    const happening = {
      side: 'caller',
      endpointId,
      caller,
      generation: this.#deps.generationAt(facts.startedAt),
      channel: origination.kind,
    } as const;
    const outcome = reason === null ? 'accepted' : 'failed';
    const counters = this.#countersOf(facts);
    counters.count({ ...happening, unit: 'call', outcome, reason });
    if (facts.flags.upstreamConnectionFailure !== true || reason === null) return;
    counters.count({ ...happening, unit: 'connection', outcome: 'failed', reason });
    this.#deps.log('warn', 'upstream failed', { endpoint: port.endpointName, reason, detail: facts.upstreamFailure });
  }

  #takeConnection(facts: ConnectionFacts): void {
    const place = facts.chain ?? facts.listener;
    if (place === null) return;
    if (place.side === 'outbound') {
      this.#takeStreamOut(place.endpointId, facts);
      return;
    }
    if (this.#carried.takes(place, facts, this.#index())) return;
    const port = this.#inboundOf(place.endpointId);
    if (port === null) return;
    if (!facts.isOver || !this.book.isOpen(facts.connection)) this.#takeStranger(port, facts);
    if (!facts.isOver) return;
    const reason = streamReason(facts);
    // Whoever called was let in, and had nothing of it.
    if (port.protocol === 'tcp' && reason !== null && this.book.isOpen(facts.connection))
      this.#count(port, { facts, peer: this.#judge(port, facts), unit: 'connection', outcome: 'failed', reason });
    this.book.end(facts.connection);
  }

  /** A connection of which no call was told: a stream that begins, or one that is over and never came to a call. */
  #takeStranger(port: InboundListener, facts: ConnectionFacts): void {
    const { chain } = facts;
    if (chain === null) {
      // Somebody who went without a word is nobody.
      if (facts.flags.noRouteFound === true) this.#fail(port, { facts, peer: plaintextPeer, reason: 'plaintext' });
      return;
    }
    const peer = this.#judge(port, facts);
    const verdict = this.#verdictOn(port, peer);
    if (chain.channel !== 'plaintext' && (facts.handshakeFailure !== '' || facts.tlsVersion === 0 || isUnfinished(facts))) {
      const reason = peer.certificate !== null && verdict.kind !== 'accept' ? verdict.reason : handshakeReason(facts);
      this.#fail(port, { facts, peer: peer.certificate === null ? { ...peer, offence: reason } : peer, reason });
      return;
    }
    if (isProbe(peer, port)) return;
    // In the clear nothing but the limit of connections keeps a stream from its next hop.
    if (port.protocol === 'tcp' && facts.isOver && !facts.wentOn && chain.channel === 'plaintext')
      this.#fail(port, { facts, peer, reason: 'limit-exceeded' });
    else this.#countConnectionIn(port, { facts, peer, verdict });
  }

  /** A stream has no calls: its connection is what counts, when it begins, or when it turns out that it never did. */
  #takeStreamOut(endpointId: string, facts: ConnectionFacts): void {
    const port = this.#outboundOf(endpointId);
    if (port === null || port.protocol !== 'tcp') return;
    const reason = streamReason(facts);
    if (facts.isOver && reason === null) return;
    const caller = this.#deps.settings()?.spiffeId ?? '';
    const { kind: channel } = port.origination;
    const outcome = reason === null ? 'accepted' : 'failed';
    const generation = this.#deps.generationAt(facts.startedAt);
    this.#countersOf(facts).count({ side: 'caller', endpointId, caller, generation, channel, unit: 'connection', outcome, reason });
    if (reason !== null) this.#deps.log('warn', 'upstream failed', { endpoint: port.endpointName, reason, detail: facts.upstreamFailure });
  }

  /** Counts a connection when it is first told of. */
  #countConnectionIn(port: InboundListener, { facts, peer, verdict }: Judged<LogFacts>): void {
    const booked = { endpointId: port.endpointId, caller: callerOf(peer), channel: peer.channel };
    if (this.book.begin(facts.connection, booked)) this.#count(port, { facts, peer, unit: 'connection', ...passed(verdict) });
  }

  /** Of a connection that was never admitted: refused where nobody unproved is let in, else a failure. */
  #fail(
    port: InboundListener,
    { facts, peer, reason }: { readonly facts: LogFacts; readonly peer: Peer; readonly reason: RefusalReason },
  ): void {
    const isClosed = facts.chain === null || facts.chain.channel === 'mtls' || modeFor(peer, port) === 'enforce';
    if (isClosed) this.#refuse(port, { facts, peer, reason, unit: 'connection' });
    else this.#count(port, { facts, peer, unit: 'connection', outcome: 'failed', reason });
  }

  #refuse(port: InboundListener, { facts, peer, reason, unit }: Refused): void {
    const { log } = this.#deps;
    this.#count(port, { facts, peer, unit, outcome: 'refused', reason });
    const { certificate } = peer;
    this.#countersOf(facts).refuse({
      endpointId: port.endpointId,
      at: facts.startedAt,
      firstOctetsSha256: new Uint8Array(),
      remoteAddress: facts.remote,
      reason,
      caller: callerOf(peer),
      certificate,
      resumed: false,
      octetsForwarded: 0,
    });
    log('warn', `${unit} refused`, {
      endpoint: port.endpointName,
      reason,
      caller: callerOf(peer),
      remote: facts.remote,
      serial: certificate === null ? '' : Buffer.from(certificate.serial).toString('hex'),
      detail: facts.handshakeFailure,
    });
  }

  #count(port: InboundListener, { facts, peer, ...counted }: Counted): void {
    this.#countersOf(facts).count({
      side: 'receiver',
      endpointId: port.endpointId,
      caller: callerOf(peer),
      generation: this.#deps.generationAt(facts.startedAt),
      channel: peer.channel,
      ...counted,
    });
  }

  /** What goes on is told of when it is. */
  #countersOf({ endedAt }: LogFacts): Counters {
    return this.#deps.countersAt(endedAt ?? this.#deps.clock.now());
  }

  #judge(port: InboundListener, facts: LogFacts): Peer {
    return judgePeer(this.#deps.peers, facts, { now: this.#deps.clock.now(), policy: port.tls });
  }

  #verdictOn(port: InboundListener, peer: Peer): Exclude<Verdict, { kind: 'except' }> {
    return judgeConnection(this.#deps.clock.now(), peer, port, this.#deps.revoked());
  }

  #inboundOf(endpointId: string): InboundListener | null {
    return this.#index().inbound.get(endpointId) ?? null;
  }

  #outboundOf(endpointId: string): OutboundListener | null {
    return this.#index().outbound.get(endpointId) ?? null;
  }

  /** Made once for each settings. */
  #index(): PortIndex {
    const settings = this.#deps.settings();
    if (this.#indexed.of !== settings) this.#indexed = { of: settings, index: indexPorts(settings) };
    return this.#indexed.index;
  }
}

type Judged<Facts> = { readonly facts: Facts; readonly peer: Peer; readonly verdict: Exclude<Verdict, { kind: 'except' }> };
type Refused = { readonly facts: LogFacts; readonly peer: Peer; readonly reason: RefusalReason; readonly unit: Unit };
type Counted = { readonly facts: LogFacts; readonly peer: Peer; readonly unit: Unit } & Pick<
  Parameters<Counters['count']>[0],
  'outcome' | 'reason' | 'exception'
>;

/** Behind a door that demands a certificate a handshake without one did not end, whatever Envoy says of it. */
function isUnfinished({ chain, certificate }: LogFacts): boolean {
  return chain?.channel === 'mtls' && certificate === '';
}

/** Envoy let it pass; what we would refuse by now would be refused, and was not. */
function passed(verdict: Exclude<Verdict, { kind: 'except' }>): ReturnType<typeof outcomeOf> {
  return verdict.kind === 'refuse' ? { outcome: 'would-refuse', reason: verdict.reason } : outcomeOf(verdict);
}
