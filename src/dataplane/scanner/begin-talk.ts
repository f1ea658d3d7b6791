import { once } from 'node:events';
import type { WireSocket } from './wire-socket.ts';

/** Protocols that begin in the clear, and whose client asks for TLS by a command. */
export const startTlsProtocols = ['postgres', 'smtp'] as const;
export type StartTls = (typeof startTlsProtocols)[number];

/** `no-tls`: the server speaks the protocol, or something else, and does not go on with TLS. */
export type Beginning = { readonly kind: 'ready' } | { readonly kind: 'no-tls' } | { readonly kind: 'failed'; readonly because: string };

/** Waits for the connection, and asks for TLS where the protocol begins without; what was said before is forgotten then. */
export async function beginTalk(wire: WireSocket, startTls: StartTls | null, timeoutMs: number): Promise<Beginning> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    await once(wire, 'connect', { signal });
    if (startTls === null) return { kind: 'ready' };
    const isTls = startTls === 'postgres' ? await beginPostgres(wire, signal) : await beginSmtp(wire, signal);
    wire.forgetReceived();
    return { kind: isTls ? 'ready' : 'no-tls' };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return { kind: 'failed', because: name === 'AbortError' || name === 'TimeoutError' ? 'no answer in time' : (code ?? 'failed') };
  }
}

/** SSLRequest is answered by one octet: S goes on with TLS, N does not (PostgreSQL's protocol 3.0, section 54.2.11). */
async function beginPostgres(wire: WireSocket, signal: AbortSignal): Promise<boolean> {
  wire.write(SSL_REQUEST);
  return (await readUntil(wire, (text) => text.length >= 1, signal)) === 'S';
}

/** A greeting, EHLO with its lines, and STARTTLS, which 220 takes (RFC 3207 section 4). */
async function beginSmtp(wire: WireSocket, signal: AbortSignal): Promise<boolean> {
  if (!(await readReply(wire, signal)).startsWith('220')) return false;
  wire.write('EHLO localhost\r\n');
  if (!/^250[ -]STARTTLS\s*$/im.test(await readReply(wire, signal))) return false;
  wire.write('STARTTLS\r\n');
  return (await readReply(wire, signal)).startsWith('220');
}

/** All lines of a reply; the last has a space after its code (RFC 5321 section 4.2.1). */
async function readReply(wire: WireSocket, signal: AbortSignal): Promise<string> {
  wire.forgetReceived();
  return readUntil(wire, (text) => /^\d{3}(?: .*)?\r?\n$/m.test(text) && text.endsWith('\n'), signal);
}

/** What was received, as soon as it is enough, or the server ends. */
async function readUntil(wire: WireSocket, isEnough: (text: string) => boolean, signal: AbortSignal): Promise<string> {
  const ended = once(wire, 'close', { signal }).then(() => true);
  ended.catch(() => undefined);
  for (;;) {
    const text = wire.received.toString('latin1');
    if (isEnough(text) || text.length > MAXIMUM_REPLY) return text;
    if (await Promise.race([once(wire, 'data', { signal }).then(() => false), ended])) return '';
  }
}

/** Length 8 and the code 1234.5679. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
/** Greetings and lists of extensions are shorter. */
const MAXIMUM_REPLY = 8_192;
