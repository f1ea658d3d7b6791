import { constants, createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { ServedAlpn } from './alpn.ts';
import { type Credential, keyPemOf } from './credential.ts';
import type { Protocol } from './proxy-settings.ts';
import { keyNamed, type TicketKeys } from './ticket-keys.ts';
import { contextOptionsOf, legacyContextOptions, type TlsPolicy } from './tls-policy.ts';
import type { Trust } from './trust.ts';

/** How a server-side handshake ended. */
export type Handshake =
  | { readonly kind: 'secure'; readonly socket: TLSSocket }
  | { readonly kind: 'failed'; readonly reason: RefusalReason; readonly detail: string };

/** Runs server-side handshakes with one certificate, one trust set and one policy. It never changes. */
export type Terminator = {
  readonly credential: Credential;
  /** Takes the socket over, with what was read of it put back. Calls back once. */
  accept(socket: Socket, onEnd: OnHandshake): void;
  /** The same over a stream of this process, one at a time. */
  acceptStream(stream: Duplex, onEnd: OnHandshake): void;
};

type OnHandshake = (handshake: Handshake) => void;

export type TerminatorKind = {
  readonly policy: TlsPolicy;
  readonly protocol: Protocol;
  /** For peers that offer no version that the policy allows, where nobody is refused. */
  readonly legacy: boolean;
  /** `none`: what is sent in place of tickets costs little and resumes nothing. */
  readonly resumption: 'tickets' | 'none';
  /** `asked`: by a client that wants the status of the certificate stapled; others pay nothing for what these get. */
  readonly status: 'asked' | 'none';
};

export type TlsContextsOptions = {
  readonly credential: Credential;
  readonly trust: Trust;
  readonly ticketKeys: TicketKeys;
  readonly alpn: ServedAlpn;
  /** What is stapled now; null: nothing. It is asked in the midst of handshakes, and answers from memory. */
  readonly staple: () => Buffer | null;
};

type MadeKind = TerminatorKind & {
  readonly staple: (() => Buffer | null) | null;
  readonly ticketKey: Buffer;
  readonly alpn: readonly string[];
};

/**
 * The terminators of one (certificate, trust set), made on demand. A rotation makes a new object: connections keep the one
 * that they began with, and sessions resume across it, because ticket keys and session id context do not depend on the certificate.
 */
export class TlsContexts {
  readonly credential: Credential;
  readonly trust: Trust;
  readonly #ticketKeys: TicketKeys;
  readonly #alpn: ServedAlpn;
  readonly #staple: () => Buffer | null;
  readonly #terminators = new Map<string, Terminator>();

  /** `ticketKeys` are the same for all contexts of a process, so that another certificate costs no burst of full handshakes. */
  constructor({ credential, trust, ticketKeys, alpn, staple }: TlsContextsOptions) {
    this.credential = credential;
    this.trust = trust;
    this.#ticketKeys = ticketKeys;
    this.#alpn = alpn;
    this.#staple = staple;
  }

  /**
   * `ticketKeyName` is of the ticket that the peer offers. Node's server has one ticket key; so each key has terminators of its own, and
   * a ticket from before a rotation, or from a replica that is ahead, meets the one that can open it.
   * @throws the error of OpenSSL for a group or suite that it does not know
   */
  terminatorFor(kind: TerminatorKind, ticketKeyName: Uint8Array | null = null): Terminator {
    const ticketKey = keyNamed(this.#ticketKeys, ticketKeyName);
    const staple = kind.status === 'asked' && this.#staple() !== null ? this.#staple : null;
    const key = `${kind.policy.digest} ${kind.protocol} ${kind.legacy} ${kind.resumption} ${staple === null} ${ticketKey.index}`;
    const known = this.#terminators.get(key);
    if (known !== undefined) return known;
    const alpn = this.#alpn[kind.protocol];
    const made = makeTerminator(this.credential, this.trust, { ...kind, staple, ticketKey: ticketKey.key, alpn });
    this.#terminators.set(key, made);
    return made;
  }
}

function makeTerminator(credential: Credential, trust: Trust, kind: MadeKind): Terminator {
  const { policy, alpn, legacy, resumption, staple, ticketKey } = kind;
  const pending = new WeakMap<Socket, OnHandshake>();
  let pendingStream: OnHandshake | null = null;
  const server = createServer({
    ...(legacy ? legacyContextOptions : contextOptionsOf(policy)),
    cert: credential.chainPem,
    key: keyPemOf(credential),
    // Only named to clients as acceptable authorities: the verdict is our own, after the handshake.
    ca: [trust, ...trust.federated.values()].flatMap(({ anchors }) => anchors.map(({ der }) => encodePem('CERTIFICATE', der))),
    requestCert: true,
    rejectUnauthorized: false,
    // The verdict is on the first handshake: in TLS 1.2 a second one could show another certificate after it (RFC 5746 section 5).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (resumption === 'none' ? constants.SSL_OP_NO_TICKET : 0),
    ALPNProtocols: [...alpn],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    ticketKeys: ticketKey,
    sessionTimeout: SESSION_SECONDS,
    // OpenSSL takes 32 octets. Tickets do not outlive the trust set or the policy under which the handshake was judged.
    sessionIdContext: createHash('sha256').update(`${trust.digest} ${policy.digest}`).digest('hex').slice(0, 32),
  });
  const end = (tls: TLSSocket, handshake: Handshake): void => {
    // The raw socket that was handed in; a TLSSocket over it knows it by this name only.
    const raw = (tls as unknown as { readonly _parent?: Socket })._parent;
    const onEnd = raw === undefined ? pendingStream : pending.get(raw);
    if (raw === undefined) pendingStream = null;
    else pending.delete(raw);
    if (onEnd) onEnd(handshake);
    else tls.destroy();
  };
  server.on('secureConnection', (socket) => end(socket, { kind: 'secure', socket }));
  // Asked for in each of its handshakes, so only who wants a staple comes to a terminator that has this.
  if (staple !== null) server.on('OCSPRequest', (_leaf, _issuer, answer) => answer(null, staple()));
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    end(socket, { kind: 'failed', reason: reasonOf(error), detail: error.code ?? error.message });
    socket.destroy();
  });
  return {
    credential,
    accept(socket, onEnd) {
      pending.set(socket, onEnd);
      server.emit('connection', socket);
    },
    acceptStream(stream, onEnd) {
      pendingStream = onEnd;
      server.emit('connection', stream);
    },
  };
}

function reasonOf({ code = '' }: NodeJS.ErrnoException): RefusalReason {
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'timeout';
  return /UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|WRONG_VERSION/.test(code) ? 'tls-version' : 'tls-malformed';
}

const SESSION_SECONDS = 1_800;
/** An honest handshake over a bad line takes a few round trips; a slow one holds a socket. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
