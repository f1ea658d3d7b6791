import type { Socket } from 'node:net';
import type { ProxiedEnds } from '../../core/proxy-protocol/proxy-header.ts';
import { CrowdControl } from './crowd-control.ts';
import { type Newcomer, newcomerOf } from './newcomer.ts';
import type { ClientHello } from '../../core/tls/client-hello.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { refuseCallOf } from './admit-call.ts';
import { countConnection } from './admit-excepted.ts';
import type { AnonymousException } from './anonymous-exceptions.ts';
import { type PortDeps, recordRefusal } from './port-deps.ts';
import { isProbe, judgeConnection, modeFor } from './judge-connection.ts';
import { callerOf, type Peer, plaintextPeer } from './peer.ts';
import { answerProbe } from './probe-answer.ts';
import { rejudgeConnection } from './rejudge-connection.ts';
import type { InboundSettings } from './proxy-settings.ts';
import { readPeer } from './read-peer.ts';
import { ReceiverConnection } from './receiver-connection.ts';
import { type Arrival, collectFirstOctets, fingerprintOf, sniffConnection } from './sniff-connection.ts';
import { allowsVersion } from './tls-policy.ts';
import { ResumptionHabits } from './resumption-habits.ts';
import type { Handshake } from './tls-contexts.ts';

/**
 * Lets in the connections of one endpoint: plaintext, TLS and mutual TLS side by side, each judged by what it proves. What is
 * admitted goes on to whoever serves it, and stays under judgement until it closes.
 */
export class InboundGate {
  readonly #deps: PortDeps;
  readonly #onAdmitted: (connection: ReceiverConnection) => void;
  /** Every socket from its arrival on, and those that were admitted. */
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Set<ReceiverConnection>();
  readonly #habits = new ResumptionHabits();
  readonly #crowd: CrowdControl;
  #settings: InboundSettings;
  #retiresAt: number | null = null;

  /** `onAdmitted` is told once of each connection that may be served. */
  constructor(deps: PortDeps, settings: InboundSettings, onAdmitted: (connection: ReceiverConnection) => void) {
    this.#deps = deps;
    this.#crowd = new CrowdControl(deps);
    this.#settings = settings;
    this.#onAdmitted = onAdmitted;
  }

  get settings(): InboundSettings {
    return this.#settings;
  }

  /** Takes new settings for all calls from now on; open connections are rejudged by whoever calls this. */
  update(settings: InboundSettings): void {
    const old = this.#settings;
    this.#settings = settings;
    if (old.protocol !== settings.protocol || old.endpointId !== settings.endpointId) {
      for (const connection of this.#connections) connection.retire(settings.drainMs);
    }
  }

  /** `ends` is where the connection began and went, as a balancer that is believed has said. */
  accept(socket: Socket, ends: ProxiedEnds | null = null): void {
    if (!this.hold(socket)) return;
    const newcomer = newcomerOf(socket, ends);
    if (!this.#crowd.mayBegin(newcomer, this.#settings)) return;
    const { protocol, anonymousMode } = this.#settings;
    const mayBeServerFirst = protocol === 'tcp' && (anonymousMode !== 'enforce' || this.#exceptionOf(newcomer, plaintextPeer) !== null);
    const { limits } = this.#deps;
    const sniffing = { silentAfterMs: mayBeServerFirst ? limits.serverFirstMs : null, timeoutMs: limits.firstOctetsMs };
    sniffConnection(socket, sniffing, (arrival) => this.#arrived(newcomer, arrival));
  }

  /** Takes a socket into those that end with the port, before anything of it is known. False where there are too many: it was refused. */
  hold(socket: Socket): boolean {
    if (this.#sockets.has(socket)) return true;
    socket.on('error', () => socket.destroy());
    if (!this.#crowd.hasRoom(socket, this.#sockets.size, this.#settings)) return false;
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#crowd.settle(socket);
    });
    return true;
  }

  /** A connection whose balancer said too little, or for which nobody may speak. */
  refuseOrigin(socket: Socket, first: Buffer, detail: string): void {
    this.#refuse(newcomerOf(socket, null), { ...plaintextPeer, offence: 'proxy-header' }, 'proxy-header', first, detail);
  }

  /** Takes no further calls on open connections, says so with each next answer, and is over within this time. */
  async retire(withinMs: number): Promise<void> {
    this.#retiresAt = performance.now() + withinMs;
    for (const connection of this.#connections) connection.retire(withinMs);
    // Who is still shaking hands is admitted and gets its answer, too.
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    const timer = setTimeout(() => this.#sockets.forEach((socket) => socket.destroy()), withinMs);
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #arrived(newcomer: Newcomer, arrival: Arrival): void {
    const { socket } = newcomer;
    switch (arrival.kind) {
      case 'gone':
        socket.destroy();
        return;
      case 'broken':
        this.#fail(newcomer, arrival.reason, arrival.first);
        return;
      case 'silent':
        this.#admit(newcomer, plaintextPeer, NO_OCTETS);
        return;
      case 'plaintext':
        this.#arrivedInClear(newcomer, arrival.first);
        return;
      case 'tls':
        this.#shakeHands(newcomer, arrival.hello, arrival.first);
        return;
      default:
        arrival satisfies never;
    }
  }

  #arrivedInClear(newcomer: Newcomer, first: Buffer): void {
    const { live, clock, limits } = this.#deps;
    if (judgeConnection(clock.now(), plaintextPeer, this.#settings, live.revoked).kind !== 'refuse') {
      this.#admit(newcomer, plaintextPeer, first);
      return;
    }
    const excepted = this.#exceptionOf(newcomer, plaintextPeer) !== null;
    if (excepted && this.#settings.protocol === 'tcp') {
      this.#admit(newcomer, plaintextPeer, first);
      return;
    }
    // The prober knows a plaintext connection by its first octets, so they are awaited although the verdict stands. Who may be let in
    // is not: a client of gRPC says nothing more before the server has spoken.
    const waiting = { silentAfterMs: excepted ? limits.serverFirstMs : null, timeoutMs: limits.firstOctetsMs };
    collectFirstOctets(newcomer.socket, waiting, (all) => this.#admit(newcomer, plaintextPeer, all));
  }

  #shakeHands(newcomer: Newcomer, hello: ClientHello, first: Buffer): void {
    const { live } = this.#deps;
    const { tls: policy, protocol, anonymousMode } = this.#settings;
    const legacy = !allowsVersion(policy, hello.versions);
    if (legacy && anonymousMode === 'enforce') {
      this.#refuse(newcomer, { ...plaintextPeer, channel: 'tls', offence: 'tls-version' }, 'tls-version', first);
      return;
    }
    const resumption = this.#habits.wantsTickets(newcomer.host ?? 'unix', hello.hasTicket) ? 'tickets' : 'none';
    live.contexts
      .terminatorFor({ policy, protocol, legacy, resumption, status: hello.asksForStatus ? 'asked' : 'none' }, hello.ticketKeyName)
      .accept(newcomer.socket, (handshake: Handshake) => {
        if (handshake.kind === 'failed') {
          this.#fail(newcomer, handshake.reason, first, handshake.detail);
          return;
        }
        const { socket } = handshake;
        socket.on('error', () => socket.destroy());
        this.#admit({ ...newcomer, socket, sni: hello.sni }, readPeer(this.#deps, socket, legacy), first, newcomer.socket);
      });
  }

  /** The one place where a connection gets through to the service behind. */
  #admit(newcomer: Newcomer, peer: Peer, first: Buffer, arrived: Socket = newcomer.socket): void {
    const { live, clock, table, limits } = this.#deps;
    const settings = this.#settings;
    const { socket, remote } = newcomer;
    const verdict = judgeConnection(clock.now(), peer, settings, live.revoked);
    const exception = verdict.kind === 'accept' ? null : this.#exceptionOf(newcomer, peer);
    if (verdict.kind === 'refuse' && exception === null) {
      this.#refuse(newcomer, peer, verdict.reason, first);
      return;
    }
    const isHeld = verdict.kind === 'refuse' && settings.protocol !== 'tcp';
    // Who is held counts as one that has begun: else silent connections from an address of an exception would take all there are.
    if (!isHeld) this.#crowd.settle(arrived);
    // The prober's calls are no traffic of any path, so they are not counted.
    if (isProbe(peer, settings)) {
      answerProbe(socket, live.generation);
      return;
    }
    const connection = new ReceiverConnection(
      {
        socket,
        endpointId: settings.endpointId,
        peer,
        firstOctetsSha256: fingerprintOf(first),
        receiver: live.spiffeId,
        sni: newcomer.sni,
        host: newcomer.host,
        remote,
        exception: exception?.name ?? null,
        ends: newcomer.ends,
        onRejudge: (open, cause) => rejudgeConnection(this.#deps, this.#settings, open, cause),
        onEnding: (open, leftMs) => this.#end(open, leftMs),
      },
      clock,
    );
    if (isHeld) {
      // Who serves HTTP/1.1 waits for a head only so long itself; what speaks HTTP/2 may be silent.
      connection.hold(limits.firstOctetsMs + limits.headMs, {
        onOver: () => this.#endHold(connection),
        onReleased: () => this.#crowd.settle(arrived),
      });
    } else {
      if (exception !== null && settings.protocol === 'tcp') connection.endBy(exception.until);
      const counted = exception === null ? verdict : ({ kind: 'except', reason: 'no-certificate', exception: exception.name } as const);
      countConnection(this.#deps, connection, counted);
    }
    if (this.#retiresAt !== null) connection.retire(Math.max(0, this.#retiresAt - performance.now()));
    this.#connections.add(connection);
    table.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      table.remove(connection);
    });
    this.#onAdmitted(connection);
  }

  /** Of an admitted connection that could not be served after all. */
  countFailure({ peer }: ReceiverConnection, reason: RefusalReason): void {
    this.#countFailure(peer, reason);
  }

  /** The exception that may cover what this connection asks; null for whoever shows a certificate. */
  #exceptionOf({ host, sni }: Newcomer, peer: Peer): AnonymousException | null {
    return this.#settings.exceptions?.ofConnection(this.#deps.clock.now(), { peer, host, sni }) ?? null;
  }

  #endHold(connection: ReceiverConnection): void {
    refuseCallOf(this.#deps, connection, { settings: this.#settings, reason: 'timeout' });
    connection.socket.destroy();
  }

  /** No connection outlives the certificate that it showed, streams included; only enforcement cuts one for that. */
  #end(connection: ReceiverConnection, leftMs: number): void {
    if (modeFor(connection.peer, this.#settings) === 'enforce') connection.retire(leftMs * (0.5 + Math.random() / 2));
  }

  /** A connection whose beginning broke: refused where nobody unproved is let in, else a failure. The peer sees a close. */
  #fail(newcomer: Newcomer, reason: RefusalReason, first: Buffer, detail = ''): void {
    const peer: Peer = { ...plaintextPeer, channel: first[0] === TLS_HANDSHAKE ? 'tls' : 'plaintext', offence: reason };
    if (modeFor(peer, this.#settings) === 'enforce') {
      this.#refuse(newcomer, peer, reason, first, detail);
      return;
    }
    newcomer.socket.destroy();
    this.#deps.log('info', 'connection failed', { endpoint: this.#settings.endpointName, reason, detail, remote: newcomer.remote });
    this.#countFailure(peer, reason);
  }

  #refuse({ socket, remote }: Newcomer, peer: Peer, reason: RefusalReason, first: Buffer, detail = ''): void {
    socket.destroy();
    const { endpointId, endpointName } = this.#settings;
    const firstOctetsSha256 = fingerprintOf(first);
    recordRefusal(this.#deps, {
      endpointId,
      endpointName,
      peer,
      reason,
      firstOctetsSha256,
      remote,
      octetsForwarded: 0,
      unit: 'connection',
      detail,
    });
  }

  #countFailure(peer: Peer, reason: RefusalReason): void {
    const { counters, live } = this.#deps;
    const { endpointId } = this.#settings;
    const { generation } = live;
    counters.count({
      side: 'receiver',
      endpointId,
      caller: callerOf(peer),
      generation,
      channel: peer.channel,
      unit: 'connection',
      outcome: 'failed',
      reason,
    });
  }
}

const NO_OCTETS = Buffer.alloc(0);
const TLS_HANDSHAKE = 0x16;
