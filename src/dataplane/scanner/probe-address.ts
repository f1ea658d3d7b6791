import { X509Certificate } from 'node:crypto';
import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls';
import { CLIENT_PREFACE, encodeSettings, frameTypes, readFrames } from '../../core/http2/frame.ts';
import { formatHostPort, type HostPort } from '../../platform/network/host-port.ts';
import { type CertificateDemand, readCertificateDemand, readClearChain } from './read-certificate-request.ts';
import { WireSocket } from './wire-socket.ts';

/** What one address said, without judgement. Certificates are DER in base64, leaf first. */
export type AddressFacts = {
  readonly address: string;
  readonly reachable: boolean;
  /** The first line of a plaintext HTTP answer, `HTTP/2.0` where that is spoken by prior knowledge, or null. */
  readonly plaintextHttp: string | null;
  readonly tls: TlsFacts | null;
};

export type TlsFacts = {
  /** Versions for which a handshake ended well, newest first. */
  readonly versions: readonly SecureVersion[];
  readonly suite: string;
  readonly group: string | null;
  readonly clientCertificate: CertificateDemand;
  readonly chain: readonly string[];
  readonly subject: string;
  readonly issuer: string;
  readonly names: string;
  readonly notAfter: string;
};

/** Probes one address by real connections: plaintext HTTP, then a TLS handshake for each version. */
export async function probeAddress(address: HostPort, timeoutMs: number): Promise<AddressFacts> {
  const text = formatHostPort(address);
  const [http1, http2] = await Promise.all([probePlaintext(address, timeoutMs), probeHttp2(address, timeoutMs)]);
  const plaintext = http1 ?? (http2 ? HTTP_2 : null);
  if (plaintext === 'unreachable') return { address: text, reachable: false, plaintextHttp: null, tls: null };
  const handshakes: Handshake[] = [];
  for (const version of probedVersions) {
    const handshake = await shakeHands(address, version, timeoutMs);
    if (handshake !== null) handshakes.push(handshake);
  }
  return { address: text, reachable: true, plaintextHttp: plaintext, tls: summarize(handshakes) };
}

type Handshake = {
  readonly version: SecureVersion;
  readonly suite: string;
  readonly group: string | null;
  readonly demand: CertificateDemand;
  readonly chain: readonly Buffer[];
};

function summarize(handshakes: readonly Handshake[]): TlsFacts | null {
  const best = handshakes[0];
  if (best === undefined) return null;
  const leaf = readLeaf(best.chain);
  return {
    versions: handshakes.map(({ version }) => version),
    suite: best.suite,
    group: best.group,
    clientCertificate: best.demand,
    chain: best.chain.map((der) => der.toString('base64')),
    subject: leaf?.subject ?? '',
    issuer: leaf?.issuer ?? '',
    names: leaf?.subjectAltName ?? '',
    notAfter: leaf === null ? '' : leaf.validToDate.toISOString(),
  };
}

/** Null where the server showed nothing, or octets that are no certificate. */
function readLeaf([leaf]: readonly Buffer[]): X509Certificate | null {
  try {
    return leaf === undefined ? null : new X509Certificate(leaf);
  } catch {
    return null;
  }
}

/** The status line of a plaintext HTTP answer; null when something else, or nothing, answered. */
function probePlaintext(address: HostPort, timeoutMs: number): Promise<string | null | 'unreachable'> {
  const { promise, resolve } = Promise.withResolvers<string | null | 'unreachable'>();
  const wire = new WireSocket(address, timeoutMs);
  const timer = setTimeout(() => wire.destroy(), timeoutMs);
  let connected = false;
  let answer = '';
  wire.on('connect', () => {
    connected = true;
    wire.write(`OPTIONS * HTTP/1.1\r\nHost: ${address.host}\r\nConnection: close\r\n\r\n`);
  });
  wire.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
    if (answer.includes('\n') || answer.length > MAXIMUM_LINE) wire.destroy();
  });
  wire.on('error', () => undefined);
  wire.on('close', () => {
    clearTimeout(timer);
    const line = answer.split(/\r?\n/, 1)[0]!.slice(0, MAXIMUM_LINE);
    resolve(connected ? (line.startsWith('HTTP/1.') ? line : null) : 'unreachable');
  });
  return promise;
}

/** True for a server that speaks HTTP/2 in the clear by prior knowledge, as those of gRPC do: it says so with SETTINGS first (RFC 9113 section 3.4). */
function probeHttp2(address: HostPort, timeoutMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const wire = new WireSocket(address, timeoutMs);
  const timer = setTimeout(() => wire.destroy(), timeoutMs);
  let speaks = false;
  wire.on('connect', () => wire.write(Buffer.concat([Buffer.from(CLIENT_PREFACE), encodeSettings([])])));
  wire.on('data', () => {
    const [first] = readFrames(wire.received).frames;
    speaks = first?.type === frameTypes.settings && first.streamId === 0 && first.payload.length % 6 === 0;
    if (first !== undefined || wire.received.length > MAXIMUM_LINE) wire.destroy();
  });
  wire.on('error', () => undefined);
  wire.on('close', () => {
    clearTimeout(timer);
    resolve(speaks);
  });
  return promise;
}

/** One handshake at exactly this version, or null when it did not end well. */
function shakeHands(address: HostPort, version: SecureVersion, timeoutMs: number): Promise<Handshake | null> {
  const { promise, resolve } = Promise.withResolvers<Handshake | null>();
  const wire = new WireSocket(address, timeoutMs);
  const socket = connectTls({
    socket: wire,
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    // TLS 1.0 and 1.1 need SHA-1 signatures, which OpenSSL 3 permits at level 0 only.
    ciphers: version === 'TLSv1.1' || version === 'TLSv1' ? 'DEFAULT@SECLEVEL=0' : undefined,
  });
  let secret: Buffer | null = null;
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const finish = (handshake: Handshake | null): void => {
    clearTimeout(timer);
    resolve(handshake);
    socket.destroy();
    wire.destroy();
  };
  socket.on('keylog', (line: Buffer) => {
    const [label, , value] = line.toString('latin1').trim().split(' ');
    if (label === 'SERVER_HANDSHAKE_TRAFFIC_SECRET') secret = Buffer.from(value!, 'hex');
  });
  const fail = (): void => finish(readRefusedHandshake(wire, version));
  wire.on('error', fail);
  socket.on('error', fail);
  socket.on('close', fail);
  socket.on('secureConnect', () => finish(readHandshake(socket, wire, secret, version)));
  return promise;
}

function readHandshake(socket: TLSSocket, wire: WireSocket, secret: Buffer | null, version: SecureVersion): Handshake {
  const { standardName } = socket.getCipher();
  const key = socket.getEphemeralKeyInfo() as { readonly name?: string } | null;
  const chain: Buffer[] = [];
  let certificate = socket.getPeerCertificate(true);
  while (certificate?.raw !== undefined && chain.length < MAXIMUM_CHAIN) {
    chain.push(certificate.raw);
    if (certificate.issuerCertificate === undefined || certificate.issuerCertificate === certificate) break;
    certificate = certificate.issuerCertificate;
  }
  return {
    version,
    suite: standardName,
    group: key?.name ?? null,
    demand: readCertificateDemand(wire.received, secret, standardName),
    chain,
  };
}

/** A server that demands a client certificate ends TLS 1.2 before its end, but has shown itself by then. */
function readRefusedHandshake(wire: WireSocket, version: SecureVersion): Handshake | null {
  const demand = readCertificateDemand(wire.received, null, '');
  if (demand !== 'requested') return null;
  return { version, suite: 'not negotiated', group: null, demand, chain: readClearChain(wire.received) };
}

const probedVersions: readonly SecureVersion[] = ['TLSv1.3', 'TLSv1.2', 'TLSv1.1', 'TLSv1'];
/** Has no status line of its own. */
export const HTTP_2 = 'HTTP/2.0';
const MAXIMUM_LINE = 200;
const MAXIMUM_CHAIN = 10;
