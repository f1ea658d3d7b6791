import type { KeyObject } from 'node:crypto';
import { connect as connectTls, type ConnectionOptions, type SecureVersion, type TLSSocket } from 'node:tls';
import type { HttpAnswer } from '../../core/findings/posture.ts';
import { type HandshakeMessage, messageTypes } from '../../core/tls/read-server-flight.ts';
import { beginTalk } from './begin-talk.ts';
import { readHttpHead } from './read-http-head.ts';
import { readHandshake } from './read-certificate-request.ts';
import type { ScanLine } from './scan-line.ts';
import type { WireSocket } from './wire-socket.ts';

/** A handshake by Node's own TLS, which nothing of it makes fail but the server. */
export type HandshakeOrder = {
  readonly version: SecureVersion;
  readonly serverName: string | null;
  readonly protocols?: readonly string[];
  readonly credential?: ClientCredential | null;
  readonly session?: Buffer;
  readonly afterwards: Afterwards;
  /** Only these signatures, in the form of OpenSSL: a server with several certificates shows the one that can make them. */
  readonly signatures?: string;
};

/** What follows a handshake: nothing, a request whose answer is awaited, or a while in which the server can refuse. */
export type Afterwards =
  | { readonly kind: 'leave' }
  | { readonly kind: 'renegotiate' }
  | { readonly kind: 'call'; readonly request: string }
  | { readonly kind: 'listen' };

/** Certificates as PEM, leaf first. */
export type ClientCredential = { readonly certificates: string; readonly key: string | KeyObject };

export type HandshakeSight = {
  /** From this side; a server of TLS 1.3 may refuse the client's certificate afterwards. */
  readonly established: boolean;
  readonly alert: number | null;
  readonly messages: readonly HandshakeMessage[];
  readonly asksForCertificate: boolean;
  readonly protocol: string | null;
  /** The last ticket or session. */
  readonly session: Buffer | null;
  readonly resumed: boolean;
  readonly renegotiated: boolean;
  /** Octets of application data. */
  readonly octetsAnswered: number;
  readonly answer: HttpAnswer | null;
  /** The beginning of what followed the head. */
  readonly body: string;
  /** The server ended the connection, before or after an alert, and without an answer. */
  readonly ended: boolean;
};

/** Shakes hands once, and sees what follows. Null: the bounds of the scan, or no TLS was begun. */
export function shakeHandsFully(line: ScanLine, order: HandshakeOrder): Promise<HandshakeSight | null> {
  return line.open(async (wire) => {
    const { kind } = await beginTalk(wire, line.startTls, line.timeoutMs);
    return kind === 'ready' ? new Conversation(wire, order, line.timeoutMs).sight() : null;
  });
}

/** One handshake as it goes, and what follows it. */
class Conversation {
  readonly #wire: WireSocket;
  readonly #socket: TLSSocket;
  readonly #afterwards: Afterwards;
  readonly #over = Promise.withResolvers<void>();
  readonly #quietMs: number;
  #timer: NodeJS.Timeout;
  #secret: Buffer | null = null;
  #suite: string | null = null;
  #alert: number | null = null;
  #session: Buffer | null = null;
  #renegotiated = false;
  #ended = false;
  #answered = '';
  #octetsAnswered = 0;

  constructor(wire: WireSocket, order: HandshakeOrder, timeoutMs: number) {
    this.#wire = wire;
    this.#afterwards = order.afterwards;
    this.#quietMs = Math.min(QUIET_MS, timeoutMs);
    this.#timer = setTimeout(this.#over.resolve, timeoutMs);
    this.#socket = connectTls(optionsOf(wire, order));
    this.#socket.on('keylog', (entry: Buffer) => this.#keep(entry));
    this.#socket.on('session', (ticket: Buffer) => (this.#session = ticket));
    this.#socket.on('secureConnect', () => this.#goOn());
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.on('error', (error) => this.#end(error));
    for (const event of ['end', 'close']) this.#socket.on(event, () => this.#end());
    wire.on('error', () => this.#end());
  }

  async sight(): Promise<HandshakeSight> {
    await this.#over.promise;
    clearTimeout(this.#timer);
    const established = this.#suite !== null;
    const messages = readHandshake(this.#wire.received, this.#secret, this.#suite ?? '');
    const resumed = established && this.#socket.isSessionReused();
    const protocol = established && typeof this.#socket.alpnProtocol === 'string' ? this.#socket.alpnProtocol : null;
    this.#socket.destroy();
    return {
      established,
      alert: this.#alert,
      messages,
      asksForCertificate: messages.some(({ type }) => type === messageTypes.certificateRequest),
      protocol,
      session: this.#session,
      resumed,
      renegotiated: this.#renegotiated,
      octetsAnswered: this.#octetsAnswered,
      answer: readHttpHead(this.#answered),
      body: this.#answered.slice(this.#answered.indexOf('\r\n\r\n') + 4),
      ended: this.#ended && this.#octetsAnswered === 0,
    };
  }

  #keep(entry: Buffer): void {
    const [label, , value] = entry.toString('latin1').trim().split(' ');
    if (label === 'SERVER_HANDSHAKE_TRAFFIC_SECRET') this.#secret = Buffer.from(value!, 'hex');
  }

  #goOn(): void {
    // A renegotiation is told by the same event.
    if (this.#suite !== null) return;
    this.#suite = this.#socket.getCipher().standardName;
    switch (this.#afterwards.kind) {
      case 'leave':
        return this.#over.resolve();
      case 'call':
        return void this.#socket.write(this.#afterwards.request);
      case 'renegotiate':
        this.#socket.renegotiate({ rejectUnauthorized: false }, (error) => {
          this.#renegotiated = error === null;
          this.#over.resolve();
        });
        return this.#waitALittle();
      case 'listen':
        return this.#waitALittle();
      default:
        return this.#afterwards satisfies never;
    }
  }

  #waitALittle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#over.resolve, this.#quietMs);
  }

  #take(chunk: Buffer): void {
    this.#octetsAnswered += chunk.length;
    if (this.#answered.length < MAXIMUM_ANSWER) this.#answered += chunk.toString('latin1');
    if (this.#afterwards.kind !== 'call' || isEnough(this.#answered)) this.#over.resolve();
  }

  #end(error?: Error): void {
    const number = error === undefined ? null : /alert number (\d+)/i.exec(error.message);
    if (number !== null) this.#alert = Number(number[1]);
    this.#ended = true;
    this.#over.resolve();
  }
}

function optionsOf(
  wire: WireSocket,
  { version, serverName, protocols, credential, session, signatures }: HandshakeOrder,
): ConnectionOptions {
  return {
    socket: wire,
    minVersion: version,
    maxVersion: version,
    // The scan judges nothing here: whatever is served is a fact. Small keys and SHA-1 need OpenSSL's level 0.
    rejectUnauthorized: false,
    ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:ALL:@SECLEVEL=0',
    ...(serverName === null ? {} : { servername: serverName }),
    ...(protocols === undefined ? {} : { ALPNProtocols: [...protocols] }),
    ...(credential === undefined || credential === null ? {} : { cert: credential.certificates, key: credential.key as string }),
    ...(session === undefined ? {} : { session }),
    ...(signatures === undefined ? {} : { sigalgs: signatures }),
    requestOCSP: true,
  };
}

/** A head and the beginning of a body, where there is one. */
function isEnough(answered: string): boolean {
  const head = answered.indexOf('\r\n\r\n');
  return answered.length >= MAXIMUM_ANSWER || (head !== -1 && answered.length > head + 4);
}

/** How long a server that was sent nothing may take to refuse a client of TLS 1.3, once that has finished. */
const QUIET_MS = 500;
/** Heads of answers are shorter, and a page that says why a certificate is needed begins with it. */
const MAXIMUM_ANSWER = 16_384;
