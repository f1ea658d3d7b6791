import type { Socket } from 'node:net';
import { dialOutside } from './dial-outside.ts';
import type { NameResolver } from './name-resolver.ts';
import type { OutsidePolicy } from './outside-policy.ts';

/** The one message that a DNS server answered, or why there is none. */
export type DnsExchanged =
  | { readonly kind: 'answered'; readonly answer: Buffer }
  | { readonly kind: 'failed'; readonly stage: 'dns' | 'policy' | 'connection'; readonly detail: string };

/** Sends one message to a DNS server over TCP (RFC 7766) and takes one answer: addresses by policy, everything within one time limit. */
export async function exchangeDns(
  deps: { readonly resolver: NameResolver; readonly policy: OutsidePolicy },
  {
    host,
    port,
    message,
    timeoutMs,
  }: { readonly host: string; readonly port: number; readonly message: Buffer; readonly timeoutMs: number },
): Promise<DnsExchanged> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), timeoutMs);
  try {
    const dialled = await dialOutside(deps, { host, port, signal: limit.signal });
    if (dialled.kind === 'failed') return dialled;
    const { socket, address } = dialled;
    const answer = await exchange(socket, message).finally(() => socket.destroy());
    if (answer !== null) return { kind: 'answered', answer };
    const detail = limit.signal.aborted
      ? `no answer of ${address} in time`
      : `${address} at port ${port} gave no answer of at most ${MAXIMUM_OCTETS} octets`;
    return { kind: 'failed', stage: 'connection', detail };
  } finally {
    clearTimeout(timer);
  }
}

/** Each message is led by its length in two octets (RFC 1035 section 4.2.2), which bounds it too. */
function exchange(socket: Socket, message: Buffer): Promise<Buffer | null> {
  const { promise, resolve } = Promise.withResolvers<Buffer | null>();
  const chunks: Buffer[] = [];
  let held = 0;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    held += chunk.length;
    if (held < 2) return;
    const all = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    const end = 2 + all.readUInt16BE(0);
    if (end > 2 + MAXIMUM_OCTETS) resolve(null);
    else if (all.length >= end) resolve(all.subarray(2, end));
  });
  socket.once('close', () => resolve(null));
  socket.once('end', () => resolve(null));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  socket.write(Buffer.concat([length, message]));
  return promise;
}

/** What is asked by this way is answered in some hundred. */
const MAXIMUM_OCTETS = 4_096;
