import type { PlaintextAnswer } from '../../core/findings/posture.ts';
import { readHttpHead } from './read-http-head.ts';
import type { ScanLine } from './scan-line.ts';
import type { WireSocket } from './wire-socket.ts';

/** What HTTP in the clear is answered with on the port; null: with nothing that is HTTP. */
export function askPlaintext(line: ScanLine, host: string): Promise<PlaintextAnswer | null> {
  return line.open((wire) => converse(wire, host, line.timeoutMs));
}

function converse(wire: WireSocket, host: string, timeoutMs: number): Promise<PlaintextAnswer | null> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  let answered = '';
  wire.on('connect', () => wire.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
  wire.on('data', (chunk: Buffer) => {
    answered += chunk.toString('latin1');
    if (answered.includes('\r\n\r\n') || answered.length > MAXIMUM_HEAD || !'HTTP/'.startsWith(answered.slice(0, 5))) resolve();
  });
  for (const event of ['end', 'error', 'close']) wire.on(event, () => resolve());
  return promise.then(() => {
    clearTimeout(timer);
    const head = readHttpHead(answered);
    return head === null ? null : { statusLine: head.statusLine, location: head.fields.get('location') ?? null };
  });
}

const MAXIMUM_HEAD = 16_384;
