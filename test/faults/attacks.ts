import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { encodeFields, encodeFrame, encodeSettings, END_HEADERS, END_STREAM, frameTypes } from '../../src/core/http2/frame.ts';
import { EMPTY, headers, Http2Attacker, ping, request, reset } from '../support/http2-attacker.ts';
import { smugglingRequests } from '../support/smuggling-requests.ts';

export type Target = {
  readonly port: number;
  /** The certificate of a caller that is allowed: the worst attacker is an insider. */
  readonly certificate: ConnectionOptions;
  /** Aborted when the attack is over. */
  readonly signal: AbortSignal;
};

/** One kind of attack. `once` makes a connection, does its worst, and ends when the other side has closed it or the signal is aborted. */
export type Attack = {
  readonly name: string;
  /** How many run at a time. */
  readonly atOnce: number;
  /** True if the other side must end the connection by itself within seconds. */
  readonly isCutOff: boolean;
  readonly once: (target: Target) => Promise<void>;
};

/** Connects, and resolves when the connection is over; `start` writes. */
async function over(socket: Socket, signal: AbortSignal, start: (socket: Socket) => unknown = () => {}): Promise<void> {
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => {}).on('end', () => socket.end());
  socket.resume();
  const abort = (): void => void socket.destroy();
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  socket.once(socket.constructor.name === 'TLSSocket' ? 'secureConnect' : 'connect', () => start(socket));
  await closed;
  signal.removeEventListener('abort', abort);
}

const plain = ({ port }: Target): Socket => connect(port, '127.0.0.1');
const secure = ({ port, certificate }: Target, more: ConnectionOptions = {}): Socket =>
  connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...certificate, ...more });

/** The first octets of a ClientHello, which says that 508 more come. */
const HALF_HELLO = Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), randomBytes(32)]);

function trickle(socket: Socket, text: string, everyMs: number): void {
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length]!), everyMs);
  socket.once('close', () => clearInterval(timer));
}

async function flood(target: Target, batch: (index: number) => Buffer, isPaused = false): Promise<void> {
  const closers: (() => void)[] = [];
  const socket = secure(target, { ALPNProtocols: ['h2'] });
  const attacker = new Http2Attacker({ onClose: (close) => closers.push(close) }, socket);
  const abort = (): void => void socket.destroy();
  target.signal.addEventListener('abort', abort, { once: true });
  await Promise.race([once(socket, 'secureConnect').catch(() => {}), attacker.closed]);
  if (isPaused) socket.pause();
  for (let index = 0; !socket.destroyed && !target.signal.aborted; index++) {
    if (socket.write(batch(index))) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([once(socket, 'drain').catch(() => {}), attacker.closed]);
  }
  for (const close of closers) close();
  await attacker.closed;
  target.signal.removeEventListener('abort', abort);
}

const many = (count: number, frame: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => frame));

export const attacks: readonly Attack[] = [
  { name: 'silence', atOnce: 100, isCutOff: false, once: (target) => over(plain(target), target.signal) },
  {
    name: 'half a ClientHello',
    atOnce: 100,
    isCutOff: false,
    once: (target) => over(plain(target), target.signal, (socket) => socket.write(HALF_HELLO)),
  },
  {
    name: 'garbage',
    atOnce: 4,
    isCutOff: true,
    once: (target) => over(plain(target), target.signal, (socket) => socket.write(randomBytes(2_000))),
  },
  {
    name: 'TLS records of garbage',
    atOnce: 4,
    isCutOff: true,
    once: (target) =>
      over(plain(target), target.signal, (socket) => socket.write(Buffer.concat([Buffer.from('1603010400', 'hex'), randomBytes(1_024)]))),
  },
  {
    name: 'handshakes without a certificate',
    atOnce: 2,
    isCutOff: true,
    once: (target) =>
      over(secure({ ...target, certificate: {} }), target.signal, (socket) => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')),
  },
  {
    name: 'heads that come one octet at a time',
    atOnce: 50,
    isCutOff: false,
    once: (target) =>
      over(secure(target), target.signal, (socket) => trickle(socket, 'GET / HTTP/1.1\r\nHost: a\r\nX: '.padEnd(4_000, 'x'), 200)),
  },
  {
    name: 'bodies that come one octet at a time',
    atOnce: 50,
    isCutOff: false,
    once: (target) =>
      over(secure(target), target.signal, (socket) => {
        socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
        trickle(socket, 'x', 200);
      }),
  },
  {
    name: 'answers that nobody reads',
    atOnce: 20,
    isCutOff: false,
    once: (target) =>
      over(secure(target), target.signal, (socket) => {
        socket.pause();
        socket.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20));
      }),
  },
  {
    name: 'heads of 70 kB',
    atOnce: 4,
    isCutOff: true,
    once: (target) =>
      over(secure(target), target.signal, (socket) => socket.write(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`)),
  },
  {
    name: 'heads without end',
    atOnce: 2,
    isCutOff: true,
    once: (target) =>
      over(secure(target), target.signal, (socket) => {
        socket.write('GET / HTTP/1.1\r\n');
        const more = (): void => {
          while (!socket.destroyed && socket.write(`X-A: ${'x'.repeat(1_000)}\r\n`));
        };
        socket.on('drain', more);
        more();
      }),
  },
  {
    name: 'requests that could be read in two ways',
    atOnce: 4,
    isCutOff: true,
    async once(target) {
      const [, octets] = smugglingRequests[Math.floor(Math.random() * smugglingRequests.length)]!;
      await over(secure(target), target.signal, (socket) => socket.write(Buffer.from(octets, 'latin1')));
    },
  },
  {
    name: 'HTTP/2: rapid resets',
    atOnce: 2,
    isCutOff: true,
    once: (target) =>
      flood(target, (index) =>
        Buffer.concat(Array.from({ length: 50 }, (_, at) => [headers(2 * (50 * index + at) + 1), reset(2 * (50 * index + at) + 1)]).flat()),
      ),
  },
  {
    name: 'HTTP/2: a header without end in CONTINUATION frames',
    atOnce: 2,
    isCutOff: true,
    once: (target) => {
      const payload = encodeFields([['x-a', 'a'.repeat(1_000)]]);
      const rest = encodeFrame({ type: frameTypes.continuation, flags: 0, streamId: 1, payload });
      return flood(target, (index) => (index === 0 ? headers(1, 0) : rest));
    },
  },
  {
    name: 'HTTP/2: empty CONTINUATION frames',
    atOnce: 2,
    isCutOff: true,
    once: (target) => {
      const empty = encodeFrame({ type: frameTypes.continuation, flags: 0, streamId: 1, payload: EMPTY });
      return flood(target, (index) => (index === 0 ? headers(1, 0) : empty));
    },
  },
  { name: 'HTTP/2: PINGs', atOnce: 2, isCutOff: true, once: (target) => flood(target, () => many(2_000, ping), true) },
  { name: 'HTTP/2: SETTINGS', atOnce: 2, isCutOff: true, once: (target) => flood(target, () => many(2_000, encodeSettings([])), true) },
  {
    name: 'HTTP/2: calls under a window of zero',
    atOnce: 4,
    isCutOff: false,
    async once(target) {
      const socket = secure(target, { ALPNProtocols: ['h2'] });
      const attacker = new Http2Attacker({ onClose: () => {} }, socket, [[4, 0]]);
      for (let streamId = 1; streamId < 200; streamId += 2) socket.write(headers(streamId, END_HEADERS | END_STREAM, request('/large')));
      const abort = (): void => void socket.destroy();
      target.signal.addEventListener('abort', abort, { once: true });
      await attacker.closed;
      target.signal.removeEventListener('abort', abort);
    },
  },
];
