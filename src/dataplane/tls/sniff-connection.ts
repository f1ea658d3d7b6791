import { hash } from 'node:crypto';
import type { Socket } from 'node:net';
import { CLIENT_PREFACE } from '../../core/http2/frame.ts';
import { type ClientHello, readClientHello } from '../../core/tls/client-hello.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';

/** What a connection began with. `first` holds what was read; it has been put back, so that the next reader sees all of it. */
export type Arrival =
  | { readonly kind: 'tls'; readonly hello: ClientHello; readonly first: Buffer }
  | { readonly kind: 'plaintext'; readonly first: Buffer }
  | { readonly kind: 'broken'; readonly reason: RefusalReason; readonly first: Buffer }
  /** It said nothing for so long that the server may be the one to speak first. */
  | { readonly kind: 'silent' }
  /** It left before it said anything. */
  | { readonly kind: 'gone' };

export type SniffLimits = {
  /** After how much silence the arrival counts as `silent`; null: never. */
  readonly silentAfterMs: number | null;
  /** How long a beginning may take. */
  readonly timeoutMs: number;
};

/** Reads just enough to tell TLS from plaintext: one octet, and a whole ClientHello over as many segments as it takes. */
export function sniffConnection(socket: Socket, limits: SniffLimits, onArrival: (arrival: Arrival) => void): void {
  readUntil(socket, limits, readArrival, onArrival);
}

/**
 * Waits until as much of a plaintext connection is there as its fingerprint covers, or its header ends, or nothing more comes for so long.
 */
export function collectFirstOctets(socket: Socket, limits: SniffLimits, onCollected: (first: Buffer) => void): void {
  readUntil(
    socket,
    limits,
    (first, cause) => (cause !== 'more' || first.length >= FINGERPRINT_OCTETS || endsItsHeader(first) ? first : null),
    onCollected,
  );
}

/** The preface of HTTP/2 only looks like the end of a header, and a first frame follows it. */
function endsItsHeader(first: Buffer): boolean {
  return (
    first.includes('\r\n\r\n') && !first.toString('latin1', 0, CLIENT_PREFACE.length).startsWith(CLIENT_PREFACE.slice(0, first.length))
  );
}

/** SHA-256 over the first 64 octets that arrived: what a prober and a proxy call the same connection by. */
export function fingerprintOf(first: Buffer): Buffer {
  return hash('sha256', first.subarray(0, FINGERPRINT_OCTETS), 'buffer');
}

function readArrival(first: Buffer, cause: Cause): Arrival | null {
  if (cause === 'silence') return first.length === 0 ? { kind: 'silent' } : null;
  if (first.length === 0)
    return cause === 'more' ? null : cause === 'end' ? { kind: 'gone' } : { kind: 'broken', reason: 'timeout', first };
  if (first[0] !== TLS_HANDSHAKE) return { kind: 'plaintext', first };
  const reading = readClientHello(first);
  if (reading.kind === 'complete') return { kind: 'tls', hello: reading.hello, first };
  if (reading.kind === 'malformed' || cause === 'end') return { kind: 'broken', reason: 'tls-malformed', first };
  return cause === 'timeout' ? { kind: 'broken', reason: 'timeout', first } : null;
}

/** Why a decision is asked for: more came, or nothing will. */
export type Cause = 'more' | 'silence' | 'timeout' | 'end';

/** Calls `decide` with all octets so far until it returns something; puts them back and hands that on. */
export function readUntil<T>(
  socket: Socket,
  { silentAfterMs, timeoutMs }: SniffLimits,
  decide: (first: Buffer, cause: Cause) => T | null,
  onDecided: (decided: T) => void,
): void {
  let first = EMPTY;
  const finish = (cause: Cause): void => {
    const decided = decide(first, cause);
    if (decided === null) return;
    clearTimeout(timer);
    clearTimeout(silence);
    socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
    if (first.length > 0 && !socket.destroyed && !socket.readableEnded) socket.unshift(first);
    onDecided(decided);
  };
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
    finish('more');
  };
  const onEnd = (): void => finish('end');
  const timer = setTimeout(() => finish('timeout'), timeoutMs);
  const silence = silentAfterMs === null ? undefined : setTimeout(() => finish('silence'), silentAfterMs);
  socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd);
}

/** ContentType handshake (RFC 8446 section 5.1); no HTTP request and no usual server protocol begins with it. */
const TLS_HANDSHAKE = 0x16;
const FINGERPRINT_OCTETS = 64;
const EMPTY: Buffer = Buffer.alloc(0);
