import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls';
import { type DrillRunKind, PROBE_ALPN } from '../../core/findings/drill-kind.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { type DrillRequest, type DrillSpeech, makeDrillRequest } from './drill-request.ts';
import { SourcePorts } from './source-ports.ts';
import { WireSocket } from './wire-socket.ts';

/** A client certificate with its key, PEM; the chain leaf first. */
export type Credential = { readonly certificates: string; readonly key: string; readonly serial: Uint8Array };

export type DrillShot = {
  readonly kind: DrillRunKind;
  readonly address: HostPort;
  /** Null for the drills that show no certificate. */
  readonly credential: Credential | null;
  /** A session of an earlier handshake, to be resumed. */
  readonly session?: Buffer;
  readonly timeoutMs: number;
  readonly speech: DrillSpeech;
  /** A port of raw TCP, on which not every proxy can answer. */
  readonly isStream?: boolean;
};

/** What one shot saw. Only facts: whether it counts as refused is judged elsewhere. */
export type DrillSight = {
  readonly firstOctetsSha256: Buffer | null;
  readonly octetsSent: number;
  /** Our own end of the connection, `IP:PORT`; empty if there was none. */
  readonly localAddress: string;
  /** Octets of application data that came back. */
  readonly octetsAnswered: number;
  readonly statusLine: string;
  readonly seen: string;
  readonly servedSerial: Uint8Array | null;
  readonly resumed: boolean;
  /** The last ticket that the server gave. */
  readonly session: Buffer | null;
};

/** Of this process: an Envoy tells a refused connection by where it came from. */
const sources = new SourcePorts();

/**
 * Fires one connection and always sends a request on it: in TLS 1.3 the client's handshake ends before the server
 * has judged the client certificate (RFC 8446 section 2), so only an answer to a request tells who was let in.
 */
export function fireDrill(shot: DrillShot): Promise<DrillSight> {
  return shot.kind === 'plaintext' ? firePlaintext(shot) : fireTls(shot);
}

function firePlaintext(shot: DrillShot): Promise<DrillSight> {
  const { promise, resolve } = Promise.withResolvers<DrillSight>();
  const wire = new WireSocket(shot.address, shot.timeoutMs, sources.take(shot.address.host));
  const request = makeDrillRequest(shot.speech, shot.address.host);
  let seen = 'closed';
  const timer = setTimeout(() => {
    seen = 'timeout';
    wire.destroy();
  }, shot.timeoutMs);
  wire.on('connect', () => wire.write(request.octets));
  wire.on('data', (chunk: Buffer) => void (request.take(chunk) && wire.end()));
  wire.on('error', (error: NodeJS.ErrnoException) => (seen = describeError(error)));
  wire.on('end', () => wire.end());
  wire.on('close', () => {
    clearTimeout(timer);
    resolve({ ...answerOf(request, seen), ...sightOf(wire), servedSerial: null, resumed: false, session: null });
  });
  return promise;
}

function fireTls(shot: DrillShot): Promise<DrillSight> {
  const { promise, resolve } = Promise.withResolvers<DrillSight>();
  const wire = new WireSocket(shot.address, shot.timeoutMs, sources.take(shot.address.host));
  const socket = openTls(shot, wire);
  const request = makeDrillRequest(shot.speech, shot.address.host);
  let seen = 'closed';
  let session: Buffer | null = null;
  let served: Uint8Array | null = null;
  let resumed = false;
  const timer = setTimeout(() => {
    seen = 'timeout';
    wire.destroy();
  }, shot.timeoutMs);
  socket.on('session', (ticket: Buffer) => (session = ticket));
  socket.on('secureConnect', () => {
    served = servedSerialOf(socket);
    resumed = socket.isSessionReused();
    socket.write(request.octets);
  });
  socket.on('data', (chunk: Buffer) => void (request.take(chunk) && socket.end()));
  // The alert of who refused says more than the broken connection that comes with it.
  const note = (error: NodeJS.ErrnoException): void => void (seen.startsWith('alert:') || (seen = describeError(error)));
  socket.on('error', note);
  wire.on('error', note);
  socket.on('end', () => socket.end());
  socket.on('close', () => wire.destroy());
  wire.on('close', () => {
    clearTimeout(timer);
    socket.destroy();
    resolve({ ...answerOf(request, seen), ...sightOf(wire), servedSerial: served, resumed, session });
  });
  return promise;
}

function openTls(shot: DrillShot, wire: WireSocket): TLSSocket {
  const old = shot.kind === 'tls-1.1';
  return connectTls({
    socket: wire,
    ...alpnOf(shot),
    // The prober judges nothing: whatever the endpoint serves is a fact of the sight.
    rejectUnauthorized: false,
    minVersion: (old ? 'TLSv1.1' : 'TLSv1.2') satisfies SecureVersion,
    maxVersion: (old ? 'TLSv1.1' : 'TLSv1.3') satisfies SecureVersion,
    ...(old ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}),
    ...(shot.credential === null ? {} : { cert: shot.credential.certificates, key: shot.credential.key }),
    ...(shot.session === undefined ? {} : { session: shot.session }),
  });
}

function alpnOf({ speech, isStream }: DrillShot): { readonly ALPNProtocols?: string[] } {
  if (speech === 'h2') return { ALPNProtocols: ['h2'] };
  return isStream === true ? { ALPNProtocols: [PROBE_ALPN] } : {};
}

function servedSerialOf(socket: TLSSocket): Uint8Array | null {
  const hex = socket.getPeerX509Certificate()?.serialNumber;
  return hex === undefined ? null : Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

function sightOf(wire: WireSocket): Pick<DrillSight, 'firstOctetsSha256' | 'octetsSent' | 'localAddress'> {
  return { firstOctetsSha256: wire.firstOctetsSha256, octetsSent: wire.octetsSent, localAddress: wire.localAddress };
}

/** Whoever answered was not refused, whatever became of the connection. */
function answerOf(request: DrillRequest, seen: string): Pick<DrillSight, 'octetsAnswered' | 'statusLine' | 'seen'> {
  const answer = request.read();
  return { ...answer, seen: answer.octetsAnswered > 0 ? 'answered' : seen };
}

/** `alert:NN` for a TLS alert (by its number: OpenSSL's texts change), else `error:CODE`. */
function describeError(error: NodeJS.ErrnoException): string {
  const alert = /alert number (\d+)/i.exec(error.message);
  return alert === null ? `error:${error.code ?? 'UNKNOWN'}` : `alert:${alert[1]}`;
}
