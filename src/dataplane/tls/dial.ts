import { connect, type NetConnectOpts, type OnReadOpts, type Socket } from 'node:net';
import { type Address, formatAddress } from './address.ts';
import { UpstreamFailure } from './upstream-failure.ts';

/** Makes one connection that is ready for the first octet of a call. @throws UpstreamFailure */
export type Dialer = (address: Address, signal: AbortSignal) => Promise<Socket>;

export type FailoverOptions = {
  readonly addresses: readonly Address[];
  /** Indexes of the addresses, as they are to be tried. */
  readonly order: readonly number[];
  /** Told of each try at an address. */
  readonly onTried?: (index: number, isGood: boolean) => void;
  readonly dial: Dialer;
  /** For how long refused connections are tried again. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
};

export type Dialed = { readonly socket: Socket; readonly index: number };

/** A bare connection over TCP or a Unix socket. @throws UpstreamFailure */
export const dialPlain: Dialer = plainDialer();

/** Bare connections; with `onread`, of which what arrives is read into a buffer of ours instead of one of its own each time. */
export function plainDialer(onread?: OnReadOpts): Dialer {
  const options = { allowHalfOpen: true, ...(onread === undefined ? {} : { onread }) };
  return (address, signal) =>
    dialSocket(
      address.kind === 'unix'
        ? { path: address.path, ...options }
        : { host: address.host, port: address.port, noDelay: true, keepAlive: true, ...options },
      address,
      signal,
    );
}

function dialSocket(options: NetConnectOpts, address: Address, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(options);
  const fail = (error: Error): void => {
    settle();
    socket.destroy();
    reject(failureOf(address, error));
  };
  const timer = setTimeout(() => fail(Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' })), CONNECT_TIMEOUT_MS);
  const onAbort = (): void => fail(new Error('not wanted any more'));
  const settle = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    socket.off('error', fail);
    // Whoever takes the socket adds handlers of its own; until then an error only closes it.
    socket.on('error', ignore);
  };
  socket.once('error', fail);
  socket.once('connect', () => {
    settle();
    resolve(socket);
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort);
  return promise;
}

/**
 * Tries one address after the other, and again while what failed may only be restarting. Nothing of a call is sent here, so
 * no call can happen twice. @throws UpstreamFailure, of the address that said most
 */
export async function dialWithFailover({ addresses, order, onTried, dial, patienceMs, signal }: FailoverOptions): Promise<Dialed> {
  const deadline = performance.now() + patienceMs;
  for (let round = 0; ; round++) {
    let told: UpstreamFailure | null = null;
    let isTransient = false;
    for (const index of order) {
      try {
        const socket = await dial(addresses[index]!, signal);
        onTried?.(index, true);
        return { socket, index };
      } catch (error) {
        if (!(error instanceof UpstreamFailure)) throw error;
        onTried?.(index, false);
        isTransient ||= error.isTransient;
        // A server that answered and proved to be the wrong one says more than one that is away.
        if (told === null || (told.isTransient && !error.isTransient)) told = error;
      }
    }
    const pause = PAUSES_MS[Math.min(round, PAUSES_MS.length - 1)]!;
    if (!isTransient || signal.aborted || performance.now() + pause > deadline) throw told!;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function failureOf(address: Address, error: NodeJS.ErrnoException): UpstreamFailure {
  const code = error.code ?? error.message;
  const isTransient = ['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EAGAIN'].includes(code);
  const reason = code === 'ETIMEDOUT' ? 'timeout' : 'upstream-unreachable';
  return new UpstreamFailure(reason, `${formatAddress(address)}, ${code}`, { isTransient, cause: error });
}

function ignore(): void {}

/** A machine that is there answers a SYN in much less; one that is not never does. */
const CONNECT_TIMEOUT_MS = 5_000;
const PAUSES_MS = [20, 40, 80, 160];
