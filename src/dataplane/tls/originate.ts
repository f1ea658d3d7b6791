import type { Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls';
import { trustDomainOf } from '../../core/identity/spiffe-id.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { ClientCertificate } from '../../platform/keystore/client-certificates.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import { type Address, formatAddress } from './address.ts';
import { type Credential, keyPemOf } from './credential.ts';
import { type Dialer, dialPlain } from './dial.ts';
import type { KeptVerdicts } from './kept-verdicts.ts';
import type { ProvedIdentity } from './peer.ts';
import { originatedAlpn } from './alpn.ts';
import type { NamedServer } from './named-server-settings.ts';
import { type NamedServerWatch, proveNamedServer } from './prove-named-server.ts';
import type { Origination, Protocol } from './proxy-settings.ts';
import { proveStatus } from './prove-status.ts';
import { findRevocation, type RevokedIndex } from './revoked-index.ts';
import { contextOptionsOf, oldContextOptionsOf, type TlsPolicy } from './tls-policy.ts';
import { type Trust, trustIn } from './trust.ts';
import { UpstreamFailure } from './upstream-failure.ts';

export type OriginationOptions = {
  readonly origination: Origination;
  readonly policy: TlsPolicy;
  readonly protocol: Protocol;
  readonly credential: Credential;
  /** What is held for the server, where that is to be shown. */
  readonly held?: ClientCertificate | null;
  /** Whom servers of the trust domain must chain to. */
  readonly trust: Trust;
  readonly kept: KeptVerdicts;
  readonly revoked: () => RevokedIndex;
  readonly clock: Clock;
  readonly watch?: NamedServerWatch;
};

/** The identity that the server of this connection proved; none on plaintext and one-way TLS. */
export function serverIdentityOf(socket: Socket): ProvedIdentity | null {
  return serverIdentities.get(socket) ?? null;
}

/** Makes of a bare connection one whose server is verified, ready for the first octet of a call. @throws UpstreamFailure */
export type Securer = (raw: Socket, address: Address, signal: AbortSignal) => Promise<Socket>;

/**
 * A dialer that hands out only connections whose server is verified: no octet of a call is sent before. It speaks as it was told
 * to; when that fails it fails, and nothing here ever speaks in a weaker way. @throws the error of OpenSSL for an unknown group
 */
export function makeOriginator(options: OriginationOptions): Dialer {
  if (options.origination.kind === 'plaintext') return dialPlain;
  const secure = makeSecurer(options);
  return async (address, signal) => secure(await dialPlain(address, signal), address, signal);
}

/** The same over connections that were made before, such as those on which a database has agreed to TLS. @throws as above */
export function makeSecurer(options: OriginationOptions): Securer {
  const { origination } = options;
  if (origination.kind === 'plaintext') return async (raw) => raw;
  const oldTls = origination.kind === 'tls' ? origination.oldTls : null;
  const anchors = origination.kind === 'tls' ? origination.anchors : options.trust.anchors;
  const secureContext = createSecureContext({
    ...(oldTls === null ? contextOptionsOf(options.policy) : oldContextOptionsOf(options.policy, oldTls.minimumVersion)),
    ca: anchors.map(({ der }) => encodePem('CERTIFICATE', der)),
    ...shownBy(options),
  });
  /**
   * The last ticket of each server and whom its full handshake proved: on this side a resumed session shows no certificate, and
   * only that server can take it up. They go with this dialer, so none survives a change of our certificate or of the trust.
   */
  const sessions = new Map<string, HeldSession>();
  return async (raw, address, signal) => {
    if (oldTls !== null && options.clock.now() >= oldTls.until) {
      raw.destroy();
      throw untrusted('exception-ended', `exception ${oldTls.exception} for old TLS has ended`);
    }
    if (origination.kind === 'tls' && origination.shows === 'held') requireHeld(options, raw);
    const key = formatAddress(address);
    const held = sessions.get(key);
    const socket = connectTls({
      socket: raw,
      secureContext,
      // The verdict is our own, below, before the socket is handed out.
      rejectUnauthorized: false,
      ALPNProtocols: [...originatedAlpn[options.protocol]],
      ...(origination.kind === 'tls' ? { servername: origination.serverName, requestOCSP: origination.status !== null } : {}),
      ...(held === undefined ? {} : { session: held.session }),
    });
    socket.on('session', (session: Buffer) => {
      const identity = serverIdentities.get(socket);
      if (identity !== undefined) sessions.set(key, { session, identity });
    });
    let staple: Buffer | null = null;
    socket.once('OCSPResponse', (response: Buffer | null) => (staple = response));
    const begunAt = performance.now();
    let wasResumed = false;
    socket.once('secureConnect', () => (wasResumed = socket.isSessionReused()));
    socket.once('close', () => {
      // A server that does not take us by this session closes just after the handshake: the next one is full again.
      if (wasResumed && performance.now() - begunAt < SHORT_LIVED_MS) sessions.delete(key);
    });
    await finishHandshake(socket, address, signal);
    try {
      requireAlpn(socket, options.protocol);
      if (origination.kind === 'mtls') serverIdentities.set(socket, proveServer(socket, options, held?.identity ?? null));
      else await proveThirdParty(socket, origination, options, staple);
    } catch (error) {
      socket.destroy();
      sessions.delete(key);
      throw error;
    }
    return socket;
  };
}

/** What of ours a server may see that asks for a certificate. */
export function shownTo(origination: Origination): NamedServer['shows'] {
  return origination.kind === 'mtls' ? 'own' : origination.kind === 'tls' ? origination.shows : 'none';
}

/** Whom the server has to chain to: the authorities of the trust domain that it must be of. */
export function trustInServer(trust: Trust, origination: Origination): Trust {
  return trustIn(trust, origination.kind === 'mtls' ? trustDomainOf(origination.server) : trust.home);
}

function shownBy({ origination, credential, held = null }: OriginationOptions): { readonly cert?: string; readonly key?: string } {
  const shown = shownTo(origination);
  if (shown === 'own') return { cert: credential.chainPem, key: keyPemOf(credential) };
  return shown === 'held' && held !== null ? { cert: held.chainPem, key: held.keyPem } : {};
}

/** A server that has to see one sees that one, or no connection. @throws UpstreamFailure */
function requireHeld({ held = null, clock }: OriginationOptions, raw: Socket): void {
  if (held !== null && clock.now() <= held.notAfter) return;
  raw.destroy();
  if (held === null) throw untrusted('no-certificate', 'no client certificate is held for it here');
  throw untrusted('expired', 'the client certificate that is held for it is past its end');
}

/** HTTP/2 on TLS is agreed on by ALPN, never assumed (RFC 9113 section 3.2). @throws UpstreamFailure */
function requireAlpn(socket: TLSSocket, protocol: Protocol): void {
  if (protocol === 'grpc' && socket.alpnProtocol !== 'h2') throw untrusted('upstream-broken', 'it does not offer HTTP/2 (ALPN h2)');
}

function finishHandshake(socket: TLSSocket, address: Address, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (reason: RefusalReason, detail: string, isTransient: boolean): void => {
    settle();
    socket.destroy();
    reject(new UpstreamFailure(reason, `${formatAddress(address)}, ${detail}`, { isTransient }));
  };
  const onError = (error: NodeJS.ErrnoException): void => {
    const code = error.code ?? error.message;
    // A cut before the handshake ended is what a peer that restarts looks like; no octet of a call was sent.
    const isCut = code === 'ECONNRESET' || code === 'EPIPE';
    fail(isCut ? 'upstream-broken' : /VERSION|PROTOCOL/.test(code) ? 'tls-version' : 'tls-malformed', code, isCut);
  };
  const onClose = (): void => fail('upstream-broken', 'closed in the handshake', true);
  const onAbort = (): void => fail('upstream-unreachable', 'not wanted any more', false);
  const timer = setTimeout(() => fail('timeout', 'handshake timed out', false), HANDSHAKE_TIMEOUT_MS);
  const settle = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    socket.off('error', onError).off('close', onClose);
    socket.on('error', ignore);
  };
  socket.once('error', onError).once('close', onClose);
  socket.once('secureConnect', () => {
    settle();
    resolve();
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort);
  return promise;
}

/** A server outside of it: its path, name and pins, and what its CA says of its certificate, as far as that is demanded. @throws UpstreamFailure */
async function proveThirdParty(
  socket: TLSSocket,
  server: NamedServer,
  { clock, watch }: OriginationOptions,
  staple: Buffer | null,
): Promise<void> {
  const now = clock.now();
  const path = proveNamedServer(socket, server, { now, watch: watch ?? null });
  const { status: demand } = server;
  if (demand === null) return;
  if (watch === undefined) throw untrusted('status-unknown', 'nobody here can be asked for its status');
  await proveStatus(socket, path, { demand, statuses: watch.statuses, staple, now, onWouldRefuse: watch.onWouldRefuse });
}

/** A server of ours or of another trust domain: a verified path, exactly the expected SPIFFE ID, and not revoked. @throws UpstreamFailure */
function proveServer(socket: TLSSocket, options: OriginationOptions, held: ProvedIdentity | null): ProvedIdentity {
  const { origination, revoked, clock } = options;
  if (origination.kind !== 'mtls') throw new TypeError('not an origination of the trust domain');
  // What a resumed session was once proved to be may be over by now: then a full handshake decides.
  const resumed = socket.isSessionReused();
  const identity = resumed && held !== null ? held : proveCertificate(socket, options);
  if (identity.spiffeId !== origination.server) {
    throw untrusted('wrong-identity', `it is ${identity.spiffeId}, expected ${origination.server}`, resumed);
  }
  if (clock.now() > identity.validUntil) throw untrusted('expired', 'its certificate is past its end', resumed);
  const revocation = findRevocation(revoked(), identity);
  if (revocation !== null) throw untrusted(revocation, `${identity.spiffeId} is ${revocation}`, resumed);
  return identity;
}

/** Whom the certificate of a full handshake proves. @throws UpstreamFailure */
function proveCertificate(socket: TLSSocket, { origination, trust, kept, clock }: OriginationOptions): ProvedIdentity {
  if (origination.kind !== 'mtls') throw new TypeError('not an origination of the trust domain');
  const resumed = socket.isSessionReused();
  const leaf = socket.getPeerX509Certificate()?.raw;
  if (leaf === undefined) throw untrusted('no-certificate', 'it showed no certificate', resumed);
  const judged = kept.judge(clock.now(), trust, { leaf, readChain: () => readPeerChain(socket), resumed, usage: 'server' });
  if (judged.kind === 'unproved') throw untrusted(judged.reason, `it must prove ${origination.server}`, resumed);
  return judged.identity;
}

function untrusted(reason: RefusalReason, detail: string, isTransient = false): UpstreamFailure {
  return new UpstreamFailure(reason, detail, { isTransient });
}

function ignore(): void {}

type HeldSession = { readonly session: Buffer; readonly identity: ProvedIdentity };

const serverIdentities = new WeakMap<Socket, ProvedIdentity>();
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Dropping a good session costs one full handshake, keeping a bad one costs every call. */
const SHORT_LIVED_MS = 1_000;
