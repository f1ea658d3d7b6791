import type { Socket } from 'node:net';
import type { ProxiedEnds } from '../../core/proxy-protocol/proxy-header.ts';
import { type ProxyHeaderReading, readProxyHeader } from '../../core/proxy-protocol/read-proxy-header.ts';
import type { ProxyProtocolSettings } from '../tls/proxy-protocol-settings.ts';
import { readUntil } from '../tls/sniff-connection.ts';

/** Who is at the other end of a connection, and where it was going. */
export type Origin =
  | { readonly kind: 'known'; readonly ends: ProxiedEnds | null }
  /** `first` holds what was read. */
  | { readonly kind: 'refused'; readonly first: Buffer; readonly detail: string }
  | { readonly kind: 'gone' };

/**
 * Takes the PROXY protocol header off a connection from a declared balancer, which has to send one. From anybody else a header is a
 * forged address, so it is refused; what begins in another way is its own origin.
 */
export function acceptProxied(
  socket: Socket,
  { speaksFor }: ProxyProtocolSettings,
  { timeoutMs, onOrigin }: { readonly timeoutMs: number; readonly onOrigin: (origin: Origin) => void },
): void {
  if (speaksFor === null) {
    onOrigin({ kind: 'known', ends: null });
    return;
  }
  const mustSend = speaksFor(socket.remoteAddress ?? '');
  const limits = { silentAfterMs: mustSend ? null : DIRECT_SILENCE_MS, timeoutMs };
  readUntil<Decided>(
    socket,
    limits,
    (first, cause) => decide(first, { cause, mustSend }),
    (decided) => {
      // All of it was put back; the header is taken away again.
      if (decided.length > 0) socket.read(decided.length);
      onOrigin(decided.origin);
    },
  );
}

type Decided = { readonly origin: Origin; readonly length: number };

function decide(first: Buffer, { cause, mustSend }: { readonly cause: string; readonly mustSend: boolean }): Decided | null {
  if (first.length === 0) {
    if (cause === 'more') return null;
    if (!mustSend && cause !== 'end') return DIRECT;
    return cause === 'end' ? { origin: { kind: 'gone' }, length: 0 } : refused(first, 'nothing came');
  }
  const reading: ProxyHeaderReading = readProxyHeader(first);
  if (!mustSend) {
    if (reading.kind === 'absent') return DIRECT;
    // A few octets could still become a request; once nothing more comes they are not.
    if (reading.kind === 'incomplete' && cause === 'more')
      return first.length < AMBIGUOUS_OCTETS ? null : refused(first, 'a header from a stranger');
    return refused(first, 'a header from a stranger');
  }
  switch (reading.kind) {
    case 'complete':
      return { origin: { kind: 'known', ends: reading.header.ends }, length: reading.length };
    case 'incomplete':
      return cause === 'more' || cause === 'silence' ? null : refused(first, 'half a header');
    case 'absent':
      return refused(first, 'no header');
    case 'malformed':
      return refused(first, reading.because);
    default:
      return reading satisfies never;
  }
}

function refused(first: Buffer, detail: string): Decided {
  return { origin: { kind: 'refused', first, detail }, length: 0 };
}

const DIRECT: Decided = { origin: { kind: 'known', ends: null }, length: 0 };
/** The signature of version 2; a header of version 1 is known sooner. */
const AMBIGUOUS_OCTETS = 12;
/** Where a server speaks first its client says nothing; whoever is no balancer need not be waited for. */
const DIRECT_SILENCE_MS = 200;
