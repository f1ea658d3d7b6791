import type { Socket } from 'node:net';
import type { ProxiedEnds } from '../../core/proxy-protocol/proxy-header.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { callAtRetirement, retirementOf } from './certificate-end.ts';
import type { Cause, OpenConnection } from './connection-table.ts';
import { identityHeadersOf } from './identity-headers.ts';
import { callerOf, type Channel, type Peer, type ProvedIdentity } from './peer.ts';

export type ReceiverConnectionOptions = {
  readonly socket: Socket;
  readonly endpointId: string;
  readonly peer: Peer;
  readonly firstOctetsSha256: Buffer;
  readonly receiver: SpiffeId;
  /** The server name of the ClientHello; null where there is none. */
  readonly sni: string | null;
  /** Null over a Unix socket. */
  readonly host: string | null;
  readonly remote: string;
  /** The exception that may cover its calls; of raw TCP, that does. Null: none. */
  readonly exception?: string | null;
  /** Where it began and went, as a balancer said; null: its own addresses are these. */
  readonly ends?: ProxiedEnds | null;
  /** Decides anew; called when what is in force has changed. */
  readonly onRejudge: (connection: ReceiverConnection, cause: Cause) => void;
  /** The certificate ends soon. */
  readonly onEnding: (connection: ReceiverConnection, leftMs: number) => void;
};

/** An accepted connection of a caller, from its verdict to its close. */
export class ReceiverConnection implements OpenConnection {
  readonly side = 'receiver';
  readonly endpointId: string;
  readonly caller: string;
  readonly channel: Channel;
  readonly identity: ProvedIdentity | null;
  readonly socket: Socket;
  readonly firstOctetsSha256: Buffer;
  /** Null over a Unix socket. */
  readonly host: string | null;
  readonly remote: string;
  /** Changed by whoever judges its calls. */
  exception: string | null;
  /** After this the connection takes no further call, so that none outlives the certificate it showed. */
  readonly retireAt: Instant;
  readonly #options: ReceiverConnectionOptions;
  #headers: readonly string[] | null = null;
  #calls = 0;
  /** `draining` ends when the mode falls again, `ending` does not. */
  #state: 'open' | 'draining' | 'ending' = 'open';
  #graceUntil = 0;
  #timer: NodeJS.Timeout | null = null;
  #announce: (() => void) | null = null;
  #hold: { readonly timer: NodeJS.Timeout; readonly onReleased: () => void } | null = null;
  readonly #clock: Clock;
  #endsAt: Instant = Number.POSITIVE_INFINITY;
  #cancelEnd: () => void = doNothing;
  /** Octets of calls handed on so far. */
  octetsForwarded = 0;

  constructor(options: ReceiverConnectionOptions, clock: Clock) {
    const { socket, peer } = options;
    this.#options = options;
    this.socket = socket;
    this.endpointId = options.endpointId;
    this.caller = callerOf(peer);
    this.channel = peer.channel;
    this.identity = peer.identity;
    this.firstOctetsSha256 = options.firstOctetsSha256;
    this.remote = options.remote;
    this.host = options.host;
    this.exception = options.exception ?? null;
    this.#clock = clock;
    const validUntil = peer.identity?.validUntil ?? Number.POSITIVE_INFINITY;
    this.retireAt = peer.identity === null ? validUntil : retirementOf(clock.now(), validUntil);
    const cancel = callAtRetirement(clock, this.retireAt, validUntil, (leftMs) => options.onEnding(this, leftMs));
    socket.once('close', () => {
      cancel();
      this.#cancelEnd();
      this.release();
      if (this.#timer !== null) clearTimeout(this.#timer);
    });
  }

  get ends(): ProxiedEnds | null {
    return this.#options.ends ?? null;
  }

  get peer(): Peer {
    return this.#options.peer;
  }

  /** The server name that the connection was opened for. */
  get sni(): string | null {
    return this.#options.sni;
  }

  /** The identity fields for the service behind; none where nothing is proved. */
  get identityHeaders(): readonly string[] {
    this.#headers ??= this.identity === null ? [] : identityHeadersOf(this.identity, this.#options.receiver);
    return this.#headers;
  }

  get isIdle(): boolean {
    return this.#calls === 0;
  }

  /** Calls under way; more than one where the caller pipelines (RFC 9112 section 9.3.2). */
  get calls(): number {
    return this.#calls;
  }

  /** For protocols that can say at once that the connection takes no further call; called at most once. */
  announceEndBy(announce: () => void): void {
    this.#announce = announce;
    if (this.#state !== 'open') this.#announceEnd();
  }

  get isRetiring(): boolean {
    return this.#state !== 'open';
  }

  /** True while calls of a connection that was opened under a weaker mode are still served. */
  isInGrace(): boolean {
    return performance.now() < this.#graceUntil;
  }

  /** Enforced, and let in for nothing but to say what it asks, for so long. */
  hold(withinMs: number, { onOver, onReleased }: { readonly onOver: () => void; readonly onReleased: () => void }): void {
    this.#hold = { timer: setTimeout(onOver, withinMs).unref(), onReleased };
  }

  /** True until a first call was let in. */
  get isHeld(): boolean {
    return this.#hold !== null;
  }

  release(): void {
    if (this.#hold === null) return;
    const { timer, onReleased } = this.#hold;
    this.#hold = null;
    clearTimeout(timer);
    onReleased();
  }

  /** Is cut at this instant where it is enforced, whatever is under way, by the data plane's own clock. */
  endBy(until: Instant): void {
    if (until >= this.#endsAt) return;
    this.#endsAt = until;
    this.#cancelEnd();
    this.#cancelEnd = callAtRetirement(this.#clock, until, until, () => this.rejudge('end'));
  }

  beginCall(): void {
    this.#calls += 1;
  }

  endCall(): void {
    this.#calls -= 1;
    this.octetsForwarded = this.socket.bytesRead;
  }

  rejudge(cause: Cause): void {
    this.#options.onRejudge(this, cause);
  }

  /** The mode rose above what this connection proves. Calls go on for a while, so that its caller can move. */
  drain(withinMs: number): void {
    if (this.#state !== 'open') return;
    this.#state = 'draining';
    this.#announceEnd();
    this.#graceUntil = performance.now() + withinMs;
    this.#cutAfter(withinMs);
  }

  /** The mode fell again. */
  spare(): void {
    if (this.#state !== 'draining') return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#state = 'open';
    this.#graceUntil = 0;
  }

  /** Takes no new call, announces its end with the next answer, and is cut after this time at the latest. */
  retire(withinMs: number): void {
    if (this.#state === 'ending') return;
    if (this.#state === 'open') this.#cutAfter(withinMs);
    this.#state = 'ending';
    this.#announceEnd();
  }

  /** An idle connection is closed now, a busy one after the call under way or this time. */
  cut(withinMs: number): void {
    this.#state = 'ending';
    this.#graceUntil = 0;
    this.#cutAfter(withinMs);
    // The last answer may still be on its way out.
    if (this.isIdle) this.socket.destroySoon();
    else this.#announceEnd();
  }

  #announceEnd(): void {
    this.#announce?.();
    this.#announce = null;
  }

  #cutAfter(withinMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.socket.destroy(), withinMs).unref();
  }
}

function doNothing(): void {}
