import {
  messageTypes,
  readServerFlight,
  readServerHello,
  type HandshakeMessage,
  type ServerHello,
} from '../../core/tls/read-server-flight.ts';
import { beginTalk } from './begin-talk.ts';
import type { ScanLine } from './scan-line.ts';
import type { WireSocket } from './wire-socket.ts';

/** How a server answered a ClientHello that was made by hand. */
export type HelloAnswer =
  | { readonly kind: 'hello'; readonly hello: ServerHello; readonly messages: readonly HandshakeMessage[] }
  /** With an alert, or by ending the connection: null. */
  | { readonly kind: 'refused'; readonly alert: number | null }
  | { readonly kind: 'not-tls' }
  /** Nothing in time, or no connection; `because` as the system says it. */
  | { readonly kind: 'unanswered'; readonly because: string };

/** Sends the hello, and reads on to the ServerHello or to the end of a flight in the clear. Nothing is ever answered to it. */
export async function askHello(line: ScanLine, hello: Buffer, until: 'hello' | 'flight' = 'hello'): Promise<HelloAnswer> {
  const answer = await line.open((wire) => converse(wire, { hello, until, line }));
  return answer ?? { kind: 'unanswered', because: 'the bounds of the scan' };
}

type Question = { readonly hello: Buffer; readonly until: 'hello' | 'flight'; readonly line: ScanLine };

async function converse(wire: WireSocket, { hello, until, line: { startTls, timeoutMs } }: Question): Promise<HelloAnswer> {
  const begun = await beginTalk(wire, startTls, timeoutMs);
  if (begun.kind === 'failed') return { kind: 'unanswered', because: begun.because };
  if (begun.kind === 'no-tls') return { kind: 'not-tls' };
  const { promise, resolve } = Promise.withResolvers<HelloAnswer>();
  const timer = setTimeout(() => resolve({ kind: 'unanswered', because: 'no answer in time' }), timeoutMs);
  wire.on('data', () => {
    const { received } = wire;
    const answer = readAnswer(received, until);
    if (answer !== null) resolve(answer);
    else if (received.length >= MAXIMUM_FLIGHT) resolve(readAnswer(received, 'hello') ?? { kind: 'not-tls' });
  });
  wire.on('end', () => resolve(readAnswer(wire.received, 'hello') ?? { kind: 'refused', alert: null }));
  wire.on('error', () => resolve({ kind: 'refused', alert: null }));
  wire.write(hello);
  return promise.finally(() => clearTimeout(timer));
}

function readAnswer(received: Buffer, until: 'hello' | 'flight'): HelloAnswer | null {
  const { messages, alert, isTls } = readServerFlight(received);
  const first = messages.find(({ type }) => type === messageTypes.serverHello);
  const hello = first === undefined ? null : readServerHello(first.body);
  if (hello !== null) {
    const isWhole = hello.version >= TLS_13 || alert !== null || messages.some(({ type }) => type === messageTypes.serverHelloDone);
    return until === 'hello' || isWhole ? { kind: 'hello', hello, messages } : null;
  }
  if (!isTls || first !== undefined) return { kind: 'not-tls' };
  return alert === null ? null : { kind: 'refused', alert };
}

const TLS_13 = 0x0304;
/** A flight with ten certificates is shorter; more is not kept of what came. */
const MAXIMUM_FLIGHT = 65_536;
