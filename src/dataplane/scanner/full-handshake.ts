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
    return kind === 'ready' ? converse(wire, order, line.timeoutMs) : null;
  });
}

function converse(wire: WireSocket, order: HandshakeOrder, timeoutMs: number): Promise<HandshakeSight> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connectTls(optionsOf(wire, order));
  let secret: Buffer | null = null;
  let suite = '';
  let established = false;
  let renegotiated = false;
  let alert: number | null = null;
  let ended = false;
  let session: Buffer | null = null;
  let answered = '';
  let octetsAnswered = 0;
  let timer = setTimeout(resolve, timeoutMs);
  const end = (): void => {
    ended = true;
    resolve();
  };
  const note = (error: Error): void => {
    const number = /alert number (\d+)/i.exec(error.message);
    if (number !== null) alert = Number(number[1]);
    end();
  };
  socket.on('keylog', (entry: Buffer) => {
    const [label, , value] = entry.toString('latin1').trim().split(' ');
    if (label === 'SERVER_HANDSHAKE_TRAFFIC_SECRET') secret = Buffer.from(value!, 'hex');
  });
  socket.on('session', (ticket: Buffer) => (session = ticket));
  socket.on('secureConnect', () => {
    if (established) return;
    established = true;
    suite = socket.getCipher().standardName;
    if (order.afterwards.kind === 'leave') return resolve();
    if (order.afterwards.kind === 'renegotiate') {
      socket.renegotiate({ rejectUnauthorized: false }, (error) => {
        renegotiated = error === null;
        resolve();
      });
    }
    if (order.afterwards.kind === 'call') return void socket.write(order.afterwards.request);
    clearTimeout(timer);
    timer = setTimeout(resolve, Math.min(QUIET_MS, timeoutMs));
  });
  socket.on('data', (chunk: Buffer) => {
    octetsAnswered += chunk.length;
    if (answered.length < MAXIMUM_ANSWER) answered += chunk.toString('latin1');
    if (order.afterwards.kind !== 'call' || isEnough(answered)) resolve();
  });
  socket.on('error', note);
  socket.on('end', end);
  socket.on('close', end);
  wire.on('error', end);
  return promise.then(() => {
    clearTimeout(timer);
    const messages = readHandshake(wire.received, secret, suite);
    const resumed = established && socket.isSessionReused();
    const protocol = protocolOf(socket, established);
    socket.destroy();
    return {
      established,
      alert,
      messages,
      asksForCertificate: messages.some(({ type }) => type === messageTypes.certificateRequest),
      protocol,
      session,
      resumed,
      renegotiated,
      octetsAnswered,
      answer: readHttpHead(answered),
      body: answered.slice(answered.indexOf('\r\n\r\n') + 4),
      ended: ended && octetsAnswered === 0,
    };
  });
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

function protocolOf(socket: TLSSocket, established: boolean): string | null {
  return established && typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : null;
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
